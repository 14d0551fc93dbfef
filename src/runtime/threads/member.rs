//! What one thread does: makes its loop, runs main, waits for the mains of the others, and shuts the loop down.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use tulipa_executor::cancel::{CancelReason, CancelScope, ScopeCancelled};
use tulipa_executor::executor::MainCancelled;
use tulipa_executor::shutdown::ShutdownReport;
use tulipa_reactor::termination::Termination;

use crate::runtime::builder::Builder;
use crate::runtime::threads::crew::{self, Crew, Member};
use crate::runtime::threads::{Each, ThreadOutput};

type Payload = Box<dyn Any + Send>;

/// What came of a thread.
pub(super) struct MemberEnd<T> {
    pub(super) end: End<T>,
    pub(super) signal: Option<Termination>,
    pub(super) exit_code: Option<i32>,
    pub(super) shutdown: ShutdownReport,
}

pub(super) enum End<T> {
    Output(T),
    Cancelled,
    Failed(io::Error),
    Panicked(Payload),
}

impl<T> MemberEnd<T> {
    fn new(end: End<T>) -> MemberEnd<T> {
        MemberEnd {
            end,
            signal: None,
            exit_code: None,
            shutdown: ShutdownReport::default(),
        }
    }

    pub(super) fn failed(error: io::Error) -> MemberEnd<T> {
        MemberEnd::new(End::Failed(error))
    }

    pub(super) fn panicked(payload: Payload) -> MemberEnd<T> {
        MemberEnd::new(End::Panicked(payload))
    }
}

/// Runs `main` on a loop of this thread.
pub(super) fn run_member<F, T>(
    crew: &Arc<Crew>,
    index: usize,
    builder: Builder,
    each: Option<&Each>,
    main: &F,
) -> MemberEnd<T>
where
    F: AsyncFn() -> T,
    T: ThreadOutput,
{
    let scope = CancelScope::new();
    let _membership = crew::enter(Member {
        crew: Arc::clone(crew),
        index,
        scope: scope.clone(),
    });
    // Counted out when main has ended, or it is known that it will not run.
    let running = Running {
        crew: Arc::clone(crew),
    };
    let made = catch_unwind(AssertUnwindSafe(|| match each {
        Some(each) => each(builder).make(),
        None => builder.make(),
    }));
    let mut event_loop = match made {
        Ok(Ok(event_loop)) => event_loop,
        Ok(Err(error)) => {
            crew.fail(index);
            return MemberEnd::failed(error);
        }
        Err(payload) => {
            crew.fail(index);
            return MemberEnd::panicked(payload);
        }
    };
    let for_signals = Arc::clone(crew);
    event_loop.set_on_signal(Rc::new(move || for_signals.end_all(CancelReason::Signal)));
    if !crew.assemble(index, event_loop.remote()) {
        return MemberEnd::new(End::Cancelled);
    }

    let body = async {
        let end = run_main(crew, index, scope, main()).await;
        drop(running);
        poll_fn(|cx| crew.poll_left(cx)).await;
        end
    };
    let ran = catch_unwind(AssertUnwindSafe(|| event_loop.try_block_on(body)));
    let signal = event_loop.signal();
    let exit_code = event_loop.exit_code();
    let end = match ran {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => match cancelled_by(&error) {
            Some(reason) => {
                crew.end_all(reason.clone());
                End::Cancelled
            }
            None => {
                crew.fail(index);
                End::Failed(error)
            }
        },
        Err(payload) => {
            crew.fail(index);
            End::Panicked(payload)
        }
    };
    MemberEnd {
        end,
        signal,
        exit_code,
        shutdown: event_loop.end(),
    }
}

/// Runs main in its scope, and tells the others of its failure.
async fn run_main<T: ThreadOutput>(
    crew: &Crew,
    index: usize,
    scope: CancelScope,
    main: impl Future<Output = T>,
) -> End<T> {
    match catch_panic(scope.run(main)).await {
        Ok(Ok(output)) => {
            if output.is_failure() {
                crew.fail(index);
            }
            End::Output(output)
        }
        Ok(Err(ScopeCancelled { .. })) => End::Cancelled,
        Err(payload) => {
            crew.fail(index);
            End::Panicked(payload)
        }
    }
}

async fn catch_panic<F: Future>(future: F) -> Result<F::Output, Payload> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Err(payload).into(),
        },
    )
    .await
}

/// Why the main task was cancelled, if that is how a run ended: by `exit`, or by whoever holds the task.
fn cancelled_by(error: &io::Error) -> Option<&CancelReason> {
    let cancelled = error.get_ref()?.downcast_ref::<MainCancelled>()?;
    Some(cancelled.reason())
}

/// A main that has not ended.
struct Running {
    crew: Arc<Crew>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.crew.leave();
    }
}
