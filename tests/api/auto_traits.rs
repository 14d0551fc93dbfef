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
        JoinHandle<u8>: false false true;
        AbortOnDrop<u8>: false false true;
        JoinError: true true true;
        TaskId: true true true;
        Task: false false true;
        Dump: true true true;
        CallGraph: true true true;
        tulipa::runtime::Metrics: true true true;
        tulipa::runtime::UnhandledPanic: true true true;
        tulipa::task::Builder: true true true;
        Instant: true true true;
        Sleep: false false false;
        Timeout<Never>: false false false;
        Interval: true true true;
        Elapsed: true true true;
        TcpListener: false false true;
        TcpStream: false false true;
        ReadHalf<'static>: false false true;
        WriteHalf<'static>: false false true;
        OwnedReadHalf: false false true;
        OwnedWriteHalf: false false true;
    }
}
