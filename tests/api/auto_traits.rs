//! XS04: which public types may cross threads, and which may move.

use std::marker::PhantomData;

struct Probe<T: ?Sized>(PhantomData<T>);

/// Inherent constants win over those of a trait, so each probe answers `true` only where the bound
/// of the inherent block holds.
trait No {
    const SEND: bool = false;
    const SYNC: bool = false;
    const UNPIN: bool = false;
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
    use tulipa::net::*;
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
        TcpListener: false false true;
        Connector: false false true;
        ConnectError: true true true;
        KeepAlive: true true true;
        TcpSocket: true true true; // It belongs to no loop yet.
        TcpStream: false false true;
        ReadHalf<'static>: false false true;
        WriteHalf<'static>: false false true;
        OwnedReadHalf: false false true;
        OwnedWriteHalf: false false true;
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
