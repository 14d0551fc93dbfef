//! XS04: which public types may cross threads, and which may move.

use std::marker::PhantomData;

struct Probe<T: ?Sized>(PhantomData<T>);

/// Inherent constants win over those of a trait, so each probe answers `true` only where the bound
/// of the inherent block holds.
trait No {
    const SEND: bool = false;
    const SYNC: bool = false;
    const UNPIN: bool = false;
    const UNWIND_SAFE: bool = false;
}

impl<T: ?Sized> No for Probe<T> {}

macro_rules! probe {
    ($name:ident, $constant:ident, $bound:path) => {
        mod $name {
            use super::*;
            #[allow(dead_code, reason = "used where the bound holds")]
            impl<T: ?Sized + $bound> Probe<T> {
                pub(super) const $constant: bool = true;
            }
        }
    };
}

probe!(send, SEND, Send);
probe!(sync, SYNC, Sync);
probe!(unpin, UNPIN, Unpin);
probe!(unwind_safe, UNWIND_SAFE, std::panic::UnwindSafe);

macro_rules! table {
    ($($type:ty: $send:literal $sync:literal $unpin:literal;)*) => {$(
        assert_eq!(
            (Probe::<$type>::SEND, Probe::<$type>::SYNC, Probe::<$type>::UNPIN),
            ($send, $sync, $unpin),
            "{} is (Send, Sync, Unpin)",
            stringify!($type),
        );
    )*};
}

#[test]
fn types_cross_threads_only_where_they_should() {
    use tulipa::task::*;
    use tulipa::time::*;
    type Never = std::future::Pending<()>;

    table! {
        //                       Send  Sync  Unpin
        tulipa::runtime::Runner: false false true;
        tulipa::runtime::Builder: false false true;
        tulipa::runtime::NestedLoop: true true true;
        tulipa::runtime::EventLoop: false false true;
        tulipa::runtime::LoopRef: false false true;
        tulipa::runtime::LoopClosed: true true true;
        tulipa::runtime::Handle: false false true;
        tulipa::runtime::TimerHandle: false false true;
        tulipa::runtime::RemoteHandle: true true true;
        tulipa::runtime::RemoteCall: true true true;
        tulipa::runtime::RemoteTask<u8>: true true true;
        tulipa::runtime::RemoteTask<std::cell::Cell<u8>>: true true true;
        tulipa::runtime::Stopped<u8>: false false true;
        tulipa::runtime::StoppedEarly: true true true;
        tulipa::runtime::Promise<u8>: false false true;
        tulipa::runtime::PromiseWait<'static, u8>: false false true;
        tulipa::runtime::PromiseError: true true true;
        JoinHandle<u8>: false false true;
        AbortOnDrop<u8>: false false true;
        JoinError: true true true;
        TaskId: true true true;
        tulipa::task::Builder: false false true;
        Task: false false true;
        TaskGroup<u8>: false false true;
        Scope<'static>: false false true;
        ChildHandle<u8>: false false true;
        Context: false false true;
        SharedContext: true true true;
        tulipa::cancel::CancelScope: false false true;
        tulipa::cancel::CancelToken: false false true;
        tulipa::cancel::Cancelled: false false true;
        tulipa::cancel::CancelReason: true true true;
        tulipa::cancel::ScopeCancelled: true true true;
        JoinSet<u8>: false false true;
        Gather<u8>: false false true;
        TryGather<u8, u8>: false false true;
        GatherSettled<u8>: false false true;
        GatherError<u8>: true true true;
        AsCompleted<u8>: false false true;
        AsCompletedUntil<u8>: false false true;
        Wait<'static, u8>: false false false;
        WaitFor<std::rc::Rc<u8>>: true true true;
        JoinAll<Never>: true true true;
        TryJoinAll<Never, u8>: true true true;
        Race<Never>: true true true;
        StaggeredRace<std::iter::Empty<Never>, u8>: false false false;
        Dump: true true true;
        CallGraph: true true true;
        tulipa::runtime::Metrics: true true true;
        tulipa::runtime::UnhandledPanic: true true true;
        Instant: true true true;
        Sleep: false false false;
        Timeout<Never>: false false false;
        Interval: true true true;
        Elapsed: true true true;
    }
}

#[test]
fn primitives_stay_on_their_thread_but_for_remote_channels() {
    use tulipa::sync::*;
    type Local = std::rc::Rc<u8>;

    table! {
        //                       Send  Sync  Unpin
        Lock<u8>: false false true;
        LockGuard<'static, u8>: false false true;
        OwnedLockGuard<u8>: false false true;
        lock::Locking<'static, u8>: false false false;
        lock::LockingOwned<u8>: false false false;
        RwLock<u8>: false false true;
        rw_lock::ReadGuard<'static, u8>: false false true;
        rw_lock::WriteGuard<'static, u8>: false false true;
        rw_lock::OwnedReadGuard<u8>: false false true;
        rw_lock::OwnedWriteGuard<u8>: false false true;
        rw_lock::Reading<'static, u8>: false false false;
        rw_lock::WritingOwned<u8>: false false false;
        Semaphore: false false true;
        Permit<'static>: false false true;
        OwnedPermit: false false true;
        semaphore::Acquiring<'static>: false false false;
        semaphore::AcquireError: true true true;
        semaphore::TryAcquireError: true true true;
        semaphore::OverRelease: true true true;
        Event: false false true;
        event::Waiting<'static>: false false false;
        Notify: false false true;
        notify::Notified<'static>: false false false;
        Condition: false false true;
        condition::ConditionWait<'static, u8>: false false false;
        Barrier: false false true;
        barrier::BarrierWait<'static>: false false false;
        barrier::Broken: true true true;
        Latch: false false true;
        OnceCell<u8>: false false true;
        Queue<u8>: false false true;
        LifoQueue<u8>: false false true;
        PriorityQueue<u8>: false false true;
        queue::Job<'static, u8>: false false true;
        queue::OwnedJob<u8>: false false true;
        queue::ShutDown<u8>: true true true;
        queue::ShutDown<Local>: false false true;
        queue::TryGetError: true true true;
        oneshot::Sender<u8>: false false true;
        oneshot::Receiver<u8>: false false true;
        oneshot::RecvError: true true true;
        mpsc::Sender<u8>: false false true;
        mpsc::UnboundedSender<u8>: false false true;
        mpsc::Receiver<u8>: false false true;
        mpsc::SendError<u8>: true true true;
        watch::Sender<u8>: false false true;
        watch::Receiver<u8>: false false true;
        watch::Ref<'static, u8>: false false true;
        watch::Closed: true true true;
        broadcast::Sender<u8>: false false true;
        broadcast::Receiver<u8>: false false true;
        broadcast::RecvError: true true true;
        remote::mpsc::Sender<u8>: true true true;
        remote::mpsc::Sender<Local>: false false true;
        remote::mpsc::UnboundedSender<u8>: true true true;
        remote::mpsc::UnboundedSender<Local>: false false true;
        remote::oneshot::Sender<u8>: true true true;
        remote::oneshot::Sender<Local>: false false true;
        remote::oneshot::Receiver<Local>: false false true;
    }
}

/// Like `table`, with UnwindSafe, for several rows at a time; returns what is wrong.
macro_rules! table_of_four {
    ($($type:ty: $send:literal $sync:literal $unpin:literal $unwind_safe:literal;)*) => {{
        let mut wrong = Vec::new();
        $({
            type Type = Probe<$type>;
            let are = (Type::SEND, Type::SYNC, Type::UNPIN, Type::UNWIND_SAFE);
            if are != ($send, $sync, $unpin, $unwind_safe) {
                wrong.push(format!("{}: {are:?}", stringify!($type)));
            }
        })*
        wrong
    }};
}

/// Sockets belong to their loop; what is plain data, or belongs to none yet, may go anywhere. What borrows or shares a socket
/// may be in the middle of something when a panic passes by.
#[test]
fn sockets_stay_on_their_thread_and_plain_data_may_go() {
    use tulipa::io::*;
    use tulipa::net::*;

    let wrong = table_of_four! {
        //                       Send  Sync  Unpin UnwindSafe
        TcpListener: false false true false;
        Connector: false false true false;
        ConnectError: true true true false;
        KeepAlive: true true true true;
        TcpSocket: true true true true;
        TcpStream: false false true false;
        tulipa::net::ReadHalf<'static>: false false true false;
        tulipa::net::WriteHalf<'static>: false false true false;
        OwnedReadHalf: false false true false;
        OwnedWriteHalf: false false true false;
        ReuniteError: false false true false;
        UdpSocket: false false true false;
        UdpBuilder: true true true true;
        Batch: false false true true;
        Datagram<'static>: true true true true;
        names::SystemResolver: true true true true;
        names::LookUp<'static>: false false true false;
        Server: false false true false;
        ServerBuilder: false false true false;
        SharedListener: true true true true;
        tulipa::net::Connection: false false true false;
        LiveConnection<std::net::SocketAddr>: false false true false;
        DrainReport<std::net::SocketAddr>: false false true false;
        StreamReader<OwnedReadHalf>: false false true false;
        StreamReader<std::io::Empty>: true true true true;
        StreamWriter<OwnedWriteHalf>: false false true false;
        tulipa::io::Connection: false false true false;
        WaterMarks: true true true true;
        ReadError: true true true false;
        IncompleteRead: true true true true;
        LimitOverrun: true true true true;
        Lines<'static, OwnedReadHalf>: false false true false;
        DuplexStream: false false true false;
        Joined<OwnedReadHalf, OwnedWriteHalf>: false false true false;
        Joined<std::io::Empty, std::io::Sink>: true true true true;
        tulipa::io::ReadHalf<TcpStream>: false false true false;
        tulipa::io::WriteHalf<TcpStream>: false false true false;
        UnrelatedHalves<TcpStream>: false false true false;
        Stdin: true true true true;
        Stdout: true true true true;
        Stderr: true true true true;
    };
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    #[cfg(unix)]
    {
        use std::os::unix::net::UnixStream as StdStream;
        let wrong = table_of_four! {
            AsyncFd<StdStream>: false false true false;
            async_fd::AsyncFdReadyGuard<'static, StdStream>: false false true false;
            async_fd::TryIoError: true true true true;
            IoHandle: false false true false;
            Socket: false false true false;
            pipe::Sender: false false true false;
            pipe::Receiver: false false true false;
            UnixStream: false false true false;
            UnixListener: false false true false;
            UnixDatagram: false false true false;
            unix::ReadHalf<'static>: false false true false;
            unix::WriteHalf<'static>: false false true false;
            unix::OwnedReadHalf: false false true false;
            unix::OwnedWriteHalf: false false true false;
            unix::ReuniteError: false false true false;
            unix::UCred: true true true true;
            unix::Received: true true true true;
            UnixConnection: false false true false;
            Server<UnixListener>: false false true false;
            PassedSocket: false false true false;
            PassedKind: false false true false;
        };
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The table above has every public type of the network.
#[test]
fn no_type_of_the_network_is_missing() {
    fn sources(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/net/src");
    if !dir.exists() {
        return; // In a package of the facade alone.
    }
    let mut found = Vec::new();
    sources(&dir, &mut found);
    let this = include_str!("auto_traits.rs");
    let (mut count, mut missing) = (0, Vec::new());
    for line in found.iter().flat_map(|it| it.lines()).map(str::trim) {
        let rest = line
            .strip_prefix("pub struct ")
            .or(line.strip_prefix("pub enum "));
        let Some(rest) = rest else { continue };
        let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        count += 1;
        let is_row = |line: &str| {
            let is_row = line.ends_with(';') && line.contains(": ");
            let mut words = line.split(|it: char| !it.is_alphanumeric() && it != '_');
            is_row && words.any(|word| word == name)
        };
        // `Target` is what a sealed trait speaks of.
        if name != "Target" && !this.lines().any(is_row) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
    assert!(count > 40, "{count}");
}
