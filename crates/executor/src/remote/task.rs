//! A task that was sent to a loop, and the handle that waits for it on any thread.
//!
//! The task's future is [`Sent`]: it makes the user's future at its first poll, catches its panic, and
//! puts what came of it into a cell that the handle shares. Whatever else ends the task drops `Sent`,
//! whose last field then says that it was cancelled; so the handle always hears.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
#[cfg(not(loom))]
use std::time::{Duration, Instant as MachineInstant};

use pin_project_lite::pin_project;
use tulipa_base::TaskId;
use tulipa_base::wait::{self, Kind, Label};

use crate::core::{CorePtr, RemoteCore};
use crate::remote::RemoteHandle;
use crate::report::{self, ExceptionKind, drop_quietly, panic_message};
use crate::shim::{AtomicBool, Condvar, Mutex, Ordering};
use crate::task::{self, JoinError, spawn_on};

/// Waits for a task that was sent with [`RemoteHandle::spawn`], on any thread.
///
/// It is a future, to be awaited in any loop, or another runtime. A thread without a loop calls
/// [`join`](RemoteTask::join). Dropping it detaches the task, as with
/// [`JoinHandle`](crate::task::JoinHandle).
///
/// # Errors
/// [`JoinError`] when the task was aborted, panicked, or was dropped with its loop. Of one that never
/// started the id's number is 0, which no task has.
///
/// # Panics
/// When it is polled again after it has yielded the result.
///
/// # Cancel safety
/// Safe. The result stays with the handle until a poll returns it.
#[must_use = "a task goes on when its handle is dropped: `drop(handle)` says that you mean it"]
#[doc(alias = "concurrent.futures.Future")]
#[doc(alias = "wrap_future")]
pub struct RemoteTask<T> {
    shared: Arc<Shared<T>>,
    core: RemoteCore,
}

struct Shared<T> {
    progress: Mutex<Progress<T>>,
    changed: Condvar,
    /// The task is to drop its future at its next poll.
    is_aborted: AtomicBool,
    /// The task is to be asked to end at its next poll.
    has_request: AtomicBool,
    spawned_at: &'static Location<'static>,
}

struct Progress<T> {
    id: TaskId,
    /// Wakes the task; from its first poll until it ends.
    task: Option<Waker>,
    is_finished: bool,
    outcome: Option<Result<T, JoinError>>,
    /// Whoever awaits the handle.
    waiter: Option<Waker>,
    /// The handle is gone.
    is_detached: bool,
}

impl<T> RemoteTask<T> {
    /// Waits for the task by blocking this thread.
    ///
    /// A loop that is not running, and not run again, keeps it waiting.
    ///
    /// # Errors
    /// See [`RemoteTask`].
    ///
    /// # Panics
    /// On the thread of the task's loop, unless the task has ended: it could not run meanwhile. Await the
    /// handle there. Also when the result has been taken already.
    #[track_caller]
    pub fn join(mut self) -> Result<T, JoinError> {
        self.forbid_own_loop();
        let mut progress = self.shared.progress.lock();
        while !progress.is_finished {
            self.shared.changed.wait(&mut progress);
        }
        drop(progress);
        self.take()
    }

    /// Waits for the task by blocking this thread, for `timeout` at most; `None` when it goes on.
    ///
    /// # Errors
    /// See [`RemoteTask`].
    ///
    /// # Panics
    /// As [`join`](RemoteTask::join).
    #[cfg(not(loom))]
    #[track_caller]
    pub fn join_timeout(&mut self, timeout: Duration) -> Option<Result<T, JoinError>> {
        self.forbid_own_loop();
        let deadline = MachineInstant::now().checked_add(timeout);
        let mut progress = self.shared.progress.lock();
        while !progress.is_finished {
            match deadline {
                Some(deadline) => {
                    let waited = self.shared.changed.wait_until(&mut progress, deadline);
                    if waited.timed_out() && !progress.is_finished {
                        return None;
                    }
                }
                None => self.shared.changed.wait(&mut progress), // Further away than can be counted.
            }
        }
        drop(progress);
        Some(self.take())
    }

    /// Asks the task to end, in a way that lets it clean up, from any thread. See
    /// [`Task::cancel_with`](crate::task::Task::cancel_with). Calls that come before the task has heard of the
    /// first count as one; a task that has ended ignores them.
    pub fn cancel(&self) {
        self.shared.has_request.store(true, Ordering::Release);
        self.wake_task();
    }

    /// Drops the task's future at its next turn, unless it completes before. See
    /// [`JoinHandle::abort`](crate::task::JoinHandle::abort).
    pub fn abort(&self) {
        self.shared.is_aborted.store(true, Ordering::Release);
        self.wake_task();
    }

    /// Whether the task has ended, in whatever way.
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.shared.progress.lock().is_finished
    }

    /// Where the task was sent from.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.shared.spawned_at
    }

    /// Either the task has left its waker here, or its first poll comes later and sees the flags.
    fn wake_task(&self) {
        let task = self.shared.progress.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    #[track_caller]
    fn forbid_own_loop(&self) {
        assert!(
            self.core.local().is_none() || self.is_finished(),
            "joining a task on the thread of its own loop would wait for ever: await the handle instead"
        );
    }

    /// The result of a task that has ended.
    fn take(&mut self) -> Result<T, JoinError> {
        let outcome = self.shared.progress.lock().outcome.take();
        outcome.expect("RemoteTask used again after it has yielded the result")
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloning and dropping wakers is anyone's code: not with the lock taken.
        let waker = cx.waker().clone();
        let mut progress = self.shared.progress.lock();
        if !progress.is_finished {
            let before = progress.waiter.replace(waker);
            drop(progress);
            drop(before);
            wait::note(Label::new(Kind::Blocking, 0));
            return Poll::Pending;
        }
        drop(progress);
        Poll::Ready(self.take())
    }
}

impl<T> Drop for RemoteTask<T> {
    /// Detaches the task. A panic that nobody has looked at is told to the loop's exception handler.
    fn drop(&mut self) {
        let (outcome, waiter) = {
            let mut progress = self.shared.progress.lock();
            progress.is_detached = true;
            (progress.outcome.take(), progress.waiter.take())
        };
        drop(waiter);
        if let Some(Err(error)) = &outcome
            && error.is_panic()
        {
            let message = error.to_string();
            let sent = RemoteHandle::new(self.core.clone()).call_soon({
                let message = message.clone();
                move || report::report(ExceptionKind::TaskPanicked, &message)
            });
            if sent.is_err() {
                report::report(ExceptionKind::TaskPanicked, &message);
            }
        }
        drop(outcome);
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTask")
            .field("spawned_at", &format_args!("{}", self.spawned_at()))
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Such a task on its way to the loop. Dropped, it is cancelled.
pub(crate) struct RemoteSpawn {
    start: Box<dyn FnOnce(CorePtr) + Send>,
}

impl RemoteSpawn {
    pub(super) fn new<F, Fut>(
        core: &RemoteCore,
        build: F,
        spawned_at: &'static Location<'static>,
    ) -> (RemoteSpawn, RemoteTask<Fut::Output>)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        let shared = Arc::new(Shared {
            progress: Mutex::new(Progress {
                id: core.no_task_id(),
                task: None,
                is_finished: false,
                outcome: None,
                waiter: None,
                is_detached: false,
            }),
            changed: Condvar::new(),
            is_aborted: AtomicBool::new(false),
            has_request: AtomicBool::new(false),
            spawned_at,
        });
        let task = RemoteTask {
            shared: Arc::clone(&shared),
            core: core.clone(),
        };
        // Made here, so that it speaks up also when it is refused.
        let publish = Publish(shared);
        let start = move |core: CorePtr| {
            let shared = Arc::clone(&publish.0);
            let sent = Sent {
                build: Some(build),
                future: None,
                publish,
            };
            let handle = spawn_on(core, sent, spawned_at, None);
            shared.progress.lock().id = handle.id();
        };
        let message = RemoteSpawn {
            start: Box::new(start),
        };
        (message, task)
    }

    /// Starts the task. Owner thread only.
    pub(crate) fn deliver(self, core: CorePtr) {
        (self.start)(core);
        core.get().tell_host();
    }
}

pin_project! {
    /// The task's future. The fields are dropped in this order.
    struct Sent<F, Fut: Future> {
        build: Option<F>,
        #[pin]
        future: Option<Fut>,
        publish: Publish<Fut::Output>,
    }
}

impl<F, Fut> Future for Sent<F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.build.is_some() {
            this.publish.0.progress.lock().task = Some(cx.waker().clone());
        }
        // No read-modify-write on the way of every poll: a request that comes in between is the same one.
        let is_asked = this.publish.0.has_request.load(Ordering::Acquire);
        if is_asked {
            this.publish.0.has_request.store(false, Ordering::Relaxed);
        }
        // One that is asked before it begins never does.
        let never_begins = is_asked && this.build.is_some();
        if is_asked
            && !never_begins
            && let Some(task) = task::try_current()
        {
            task.cancel(); // Delivered when the poll below has to wait.
        }
        if never_begins || this.publish.0.is_aborted.load(Ordering::Acquire) {
            *this.build = None;
            this.future.set(None);
            this.publish.send(Err(this.publish.cancelled()));
            return Poll::Ready(());
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(build) = this.build.take() {
                this.future.set(Some(build()));
            }
            match this.future.as_mut().as_pin_mut() {
                Some(future) => future.poll(cx),
                None => unreachable!("a finished task is not polled"),
            }
        }));
        let outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(payload),
        };
        // The future is gone, with all it held, before anyone hears of its result.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            report::report(ExceptionKind::DestructorPanicked, panic_message(&*payload));
            drop_quietly(payload);
        }
        match outcome {
            Ok(value) => this.publish.send(Ok(value)),
            // Nobody will look: the loop's exception handler is told, as of any task.
            Err(payload) if this.publish.0.progress.lock().is_detached => resume_unwind(payload),
            Err(payload) => {
                let id = this.publish.0.progress.lock().id;
                let error = JoinError::sent_panicked(id, this.publish.0.spawned_at, payload);
                this.publish.send(Err(error));
            }
        }
        Poll::Ready(())
    }
}

/// The task's side of the cell. Dropped, it says that the task was cancelled, unless it has said
/// something else.
struct Publish<T>(Arc<Shared<T>>);

impl<T> Publish<T> {
    /// Says what came of the task. What nobody will take is dropped here.
    fn send(&self, outcome: Result<T, JoinError>) {
        let (unwanted, task, waiter) = {
            let mut progress = self.0.progress.lock();
            if progress.is_finished {
                (Some(outcome), None, None)
            } else {
                progress.is_finished = true;
                let unwanted = if progress.is_detached {
                    Some(outcome)
                } else {
                    progress.outcome.replace(outcome)
                };
                (unwanted, progress.task.take(), progress.waiter.take())
            }
        };
        self.0.changed.notify_all();
        drop(task);
        if let Some(waiter) = waiter
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| waiter.wake()))
        {
            report::report(ExceptionKind::WakerPanicked, panic_message(&*payload));
            drop_quietly(payload);
        }
        drop(unwanted);
    }

    fn cancelled(&self) -> JoinError {
        let id = self.0.progress.lock().id;
        JoinError::sent_cancelled(id, self.0.spawned_at)
    }
}

impl<T> Drop for Publish<T> {
    fn drop(&mut self) {
        if !self.0.progress.lock().is_finished {
            self.send(Err(self.cancelled()));
        }
    }
}
