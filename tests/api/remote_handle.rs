//! What other threads hold of a loop. (asyncio parity 1, 2, 4, 19)

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::support::{Trace, listening_runner, turns};
use tulipa::runtime::{
    EventLoop, ExceptionKind, LoopClosed, RemoteCall, RemoteHandle, call_soon, reactor,
};

/// Remembers the threads on which its witnesses were dropped.
#[derive(Clone, Default)]
struct DropThreads(Arc<Mutex<Vec<ThreadId>>>);

struct Witness(DropThreads);

impl DropThreads {
    fn witness(&self) -> Witness {
        Witness(self.clone())
    }

    fn take(&self) -> Vec<ThreadId> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().push(thread::current().id());
    }
}

/// Runs `f` on another thread while a loop runs, until `f` stops it.
fn beside<T: Send + 'static>(
    event_loop: &EventLoop,
    f: impl FnOnce(RemoteHandle) -> T + Send + 'static,
) -> T {
    let remote = event_loop.remote();
    let thread = thread::spawn(move || {
        let result = f(remote.clone());
        remote.stop().unwrap();
        result
    });
    event_loop.run_forever().unwrap();
    thread.join().unwrap()
}

// ---- §2 call_soon_threadsafe ----

#[test]
fn a_remote_call_wakes_a_sleeping_loop_and_runs_on_its_thread() {
    let event_loop = EventLoop::new().unwrap();
    let here = thread::current().id();
    let ran = beside(&event_loop, |remote| {
        let (sender, receiver) = mpsc::channel();
        remote
            .call_soon(move || {
                assert!(EventLoop::current().is_running());
                assert!(tulipa::task::try_id().is_none());
                sender.send(thread::current().id()).unwrap();
            })
            .unwrap();
        receiver.recv().unwrap()
    });
    assert_eq!(ran, here);
}

// §2 (test)
#[test]
fn on_the_loops_own_thread_the_order_is_that_of_call_soon() {
    let event_loop = EventLoop::new().unwrap();
    let (list, remote) = (Arc::new(Mutex::new(Vec::new())), event_loop.remote());
    let adds = |number: i32| {
        let list = list.clone();
        move || list.lock().unwrap().push(number)
    };
    event_loop.call_soon(adds(1));
    remote.call_soon(adds(2)).unwrap();
    event_loop.call_soon(adds(3));
    let (spawned, log) = (list.clone(), list.clone());
    drop(remote.spawn(move || async move { spawned.lock().unwrap().push(4) }));
    drop(event_loop.spawn(async move { log.lock().unwrap().push(5) }));
    remote.call_soon(adds(6)).unwrap();
    remote.stop().unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(*list.lock().unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_a_thread_sends_runs_in_its_order_and_before_its_stop() {
    let event_loop = EventLoop::new().unwrap();
    let list = Arc::new(Mutex::new(Vec::new()));
    let (sent, late) = (list.clone(), list.clone());
    let remote = beside(&event_loop, move |remote| {
        for number in 0..1000 {
            let list = sent.clone();
            remote
                .call_soon(move || list.lock().unwrap().push(number))
                .unwrap();
        }
        remote
    });
    assert!(list.lock().unwrap().iter().copied().eq(0..1000));
    // What is sent while the loop does not run waits for the next run.
    thread::spawn(move || {
        remote
            .call_soon(move || late.lock().unwrap().push(1000))
            .unwrap();
        remote.stop().unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(list.lock().unwrap().len(), 1000);
    event_loop.run_forever().unwrap();
    assert_eq!(list.lock().unwrap().len(), 1001);
}

#[test]
fn a_burst_wakes_a_loop_that_is_awake_not_at_all() {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tulipa::runtime::reactor::{Event, Interest, Reactor, Source, Token, Wait, Wakeup};

    struct Counting(Box<dyn Reactor>, Arc<AtomicU32>);
    struct CountingWakeup(Arc<dyn Wakeup>, Arc<AtomicU32>);

    impl Wakeup for CountingWakeup {
        fn wakeup(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.wakeup();
        }
    }

    impl Reactor for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn register(&mut self, s: &mut dyn Source, t: Token, i: Interest) -> io::Result<()> {
            self.0.register(s, t, i)
        }
        fn deregister(&mut self, s: &mut dyn Source, t: Token) -> io::Result<()> {
            self.0.deregister(s, t)
        }
        fn forget(&mut self, t: Token) {
            self.0.forget(t);
        }
        fn rearm(&mut self, t: Token, i: Interest) {
            self.0.rearm(t, i);
        }
        fn needs_rearm(&self) -> bool {
            self.0.needs_rearm()
        }
        fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
            self.0.poll(events, wait)
        }
        fn waker(&self) -> Arc<dyn Wakeup> {
            Arc::new(CountingWakeup(self.0.waker(), self.1.clone()))
        }
    }

    let wakeups = Arc::new(AtomicU32::new(0));
    let inner = reactor::Choice::default().make().unwrap();
    let counting: Box<dyn Reactor> = Box::new(Counting(inner, wakeups.clone()));
    let event_loop = EventLoop::builder().reactor(counting).build().unwrap();
    let remote = event_loop.remote();
    let calls = event_loop.block_on(async move {
        let calls = Arc::new(AtomicU32::new(0));
        let sent = calls.clone();
        thread::spawn(move || {
            for _ in 0..100 {
                let calls = sent.clone();
                let call = move || _ = calls.fetch_add(1, Ordering::Relaxed);
                remote.call_soon(call).unwrap();
            }
        })
        .join()
        .unwrap();
        turns(2).await;
        calls.load(Ordering::Relaxed)
    });
    assert_eq!((calls, wakeups.load(Ordering::Relaxed)), (100, 0));
}

// §2 [3.14]: the flag is looked at once more just before it runs.
#[test]
fn a_remote_call_of_this_very_turn_can_be_cancelled() {
    let event_loop = EventLoop::new().unwrap();
    let place: Rc<RefCell<Option<RemoteCall>>> = Rc::default();
    let victim = place.clone();
    event_loop.call_soon(move || {
        let victim = victim.take().unwrap();
        let cancelled = thread::spawn(move || victim.cancel()).join().unwrap();
        assert!(cancelled);
    });
    let call = event_loop
        .remote()
        .call_soon(|| unreachable!("it was cancelled in its turn"))
        .unwrap();
    place.replace(Some(call.clone()));
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert!(call.is_cancelled() && call.is_finished());
    assert!(!call.cancel());
}

#[test]
fn a_call_that_was_cancelled_is_dropped_by_who_cancels_it() {
    let event_loop = EventLoop::new().unwrap();
    let drops = DropThreads::default();
    let witness = drops.witness();
    let call = event_loop
        .remote()
        .call_soon(move || {
            let _witness = &witness;
            unreachable!("it was cancelled");
        })
        .unwrap();
    assert!(!call.is_finished());
    let remote = call.clone();
    let canceller = thread::spawn(move || {
        assert!(remote.cancel());
        thread::current().id()
    });
    assert_eq!([canceller.join().unwrap()], *drops.take());
    assert!(format!("{call:?}").contains("remote_handle.rs"), "{call:?}");
    event_loop.stop();
    event_loop.run_forever().unwrap();
}

#[test]
fn a_call_that_has_run_cannot_be_cancelled() {
    let event_loop = EventLoop::new().unwrap();
    let call = event_loop.remote().call_soon(|| ()).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert!(call.is_finished() && !call.cancel() && !call.is_cancelled());
}

// §2: raises when the loop is closed. Where closures are dropped is part of the contract.
#[test]
fn a_closing_loop_drops_what_was_sent_and_a_closed_one_refuses() {
    let event_loop = EventLoop::new().unwrap();
    let drops = DropThreads::default();
    let (remote, calls, tasks) = {
        let (remote, drops) = (event_loop.remote(), drops.clone());
        let sender = thread::spawn(move || {
            let witness = drops.witness();
            let call = remote.call_soon(move || {
                let _witness = &witness;
                unreachable!("the loop is closed");
            });
            let witness = drops.witness();
            let task = remote.spawn(move || async move {
                let _witness = &witness;
                unreachable!("the loop is closed");
            });
            (remote, call.unwrap(), task.unwrap())
        });
        sender.join().unwrap()
    };
    drop(event_loop);
    assert_eq!(drops.take(), [thread::current().id(); 2]);
    assert!(calls.is_cancelled());
    assert!(tasks.join().unwrap_err().is_cancelled());

    let witnesses = [drops.witness(), drops.witness()];
    let refused = thread::spawn(move || {
        let [one, two] = witnesses;
        assert_eq!(remote.call_soon(move || _ = &one).unwrap_err(), LoopClosed);
        let spawned = remote.spawn(move || async move { _ = &two });
        assert_eq!(spawned.unwrap_err(), LoopClosed);
        assert_eq!(remote.stop(), Err(LoopClosed));
        assert!(remote.is_closed());
        thread::current().id()
    });
    let sender = refused.join().unwrap();
    assert_eq!(drops.take(), [sender; 2]);
}

#[test]
fn what_was_sent_and_its_destructor_may_panic_while_the_loop_closes() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let (runner, heard) = listening_runner();
    let remote = runner.event_loop().remote();
    thread::spawn(move || {
        let held = Panics;
        drop(remote.call_soon(move || _ = &held));
        remote.call_soon(|| ()).unwrap();
    })
    .join()
    .unwrap();
    drop(runner);
    let kinds: Vec<_> = heard.take().into_iter().map(|it| it.0).collect();
    assert_eq!(kinds, [ExceptionKind::DestructorPanicked]);
}

#[test]
fn a_panic_in_a_remote_call_is_reported_with_the_senders_place() {
    let (mut runner, heard) = listening_runner();
    let remote = runner.event_loop().remote();
    thread::spawn(move || drop(remote.call_soon(|| panic!("oh no"))))
        .join()
        .unwrap();
    runner.run(turns(2));
    let heard = heard.take();
    assert_eq!(heard[0].0, ExceptionKind::CallbackPanicked);
    assert!(heard[0].1.contains("remote_handle.rs"), "{}", heard[0].1);
}

// ---- §19 run_coroutine_threadsafe ----

#[test]
fn a_future_that_cannot_be_sent_runs_on_the_loops_thread() {
    let event_loop = EventLoop::new().unwrap();
    let here = thread::current().id();
    let value = beside(&event_loop, move |remote| {
        let task = remote.spawn(move || {
            let shared = Rc::new(Cell::new(41));
            async move {
                tulipa::yield_now().await;
                assert_eq!(thread::current().id(), here);
                shared.set(shared.get() + 1);
                shared.get()
            }
        });
        task.unwrap().join().unwrap()
    });
    assert_eq!(value, 42);
}

#[test]
fn a_remote_task_can_be_awaited_in_another_loop_and_in_its_own() {
    let event_loop = EventLoop::new().unwrap();
    let value = beside(&event_loop, |remote| {
        let task = remote.spawn(|| async {
            turns(3).await;
            7
        });
        tulipa::run(async { task.unwrap().await.unwrap() })
    });
    assert_eq!(value, 7);
    let remote = event_loop.remote();
    let own = event_loop.block_on(async move { remote.spawn(|| async { 8 }).unwrap().await });
    assert_eq!(own.unwrap(), 8);
}

#[test]
fn a_panic_travels_to_who_joins_and_otherwise_to_the_exception_handler() {
    let (mut runner, heard) = listening_runner();
    let remote = runner.event_loop().remote();
    let thread = thread::spawn(move || {
        let joined = remote
            .spawn(|| async { panic!("joined") })
            .unwrap()
            .join()
            .map(|(): ()| ())
            .unwrap_err();
        assert_eq!(joined.panic_message(), Some("joined"));
        assert!(joined.spawned_at().file().ends_with("remote_handle.rs"));
        // The closure that makes the future is the task's too.
        let made = remote
            .spawn(|| {
                if true {
                    panic!("made");
                }
                async {}
            })
            .unwrap()
            .join()
            .unwrap_err();
        assert_eq!(made.panic_message(), Some("made"));
        // Detached before it panics, and after.
        drop(remote.spawn(|| async { panic!("detached") }));
        let mut late = remote
            .spawn(|| async { panic!("looked at by nobody") })
            .unwrap();
        while !late.is_finished() {
            thread::yield_now();
        }
        assert!(
            format!("{late:?}").contains("is_finished: true"),
            "{late:?}"
        );
        drop(late);
        late = remote.spawn(|| async { panic!("read") }).unwrap();
        assert!(late.join_timeout(Duration::MAX).unwrap().is_err());
        drop(late);
        remote.stop().unwrap();
    });
    runner.event_loop().run_forever().unwrap();
    thread.join().unwrap();
    runner.run(turns(2));
    let heard = heard.take();
    let messages: Vec<_> = heard.iter().map(|it| it.1.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].ends_with("panicked: detached"), "{messages:?}");
    assert!(messages[1].contains("looked at by nobody"), "{messages:?}");
    assert!(heard.iter().all(|it| it.0 == ExceptionKind::TaskPanicked));
}

#[test]
fn a_remote_task_is_aborted_before_and_after_its_first_poll() {
    let event_loop = EventLoop::new().unwrap();
    let drops = DropThreads::default();
    let (counted, here) = (drops.clone(), thread::current().id());
    beside(&event_loop, move |remote| {
        let (started, is_started) = mpsc::channel();
        let witness = counted.witness();
        let running = remote
            .spawn(move || async move {
                let _witness = witness;
                started.send(()).unwrap();
                pending::<()>().await;
            })
            .unwrap();
        is_started.recv().unwrap();
        running.abort();
        running.abort();
        let error = running.join().unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(
            counted.take(),
            [here],
            "dropped at home, before anyone hears"
        );

        // One that has not begun: the loop is busy with something else until it is aborted.
        let (go_on, wait) = mpsc::channel();
        remote.call_soon(move || wait.recv().unwrap()).unwrap();
        let witness = counted.witness();
        let unstarted = remote
            .spawn(move || {
                let _witness = &witness;
                if true {
                    unreachable!("it was aborted before it began");
                }
                async {}
            })
            .unwrap();
        unstarted.abort();
        go_on.send(()).unwrap();
        assert!(unstarted.join().unwrap_err().is_cancelled());
        assert_eq!(counted.take(), [here]);
    });
}

// §19 run_coroutine_threadsafe: cancel() cancels the task, whose clean-up may await; one that has not begun
// never does.
#[test]
fn a_remote_task_can_be_asked_to_end_and_cleans_up() {
    let event_loop = EventLoop::new().unwrap();
    beside(&event_loop, |remote| {
        let (report, told) = mpsc::channel();
        let running = remote
            .spawn(move || {
                let begun = report.clone();
                tulipa::finally(
                    async move {
                        begun.send("begun").unwrap();
                        pending::<()>().await;
                    },
                    async move {
                        turns(3).await;
                        report.send("cleaned up").unwrap();
                    },
                )
            })
            .unwrap();
        assert_eq!(told.recv(), Ok("begun"));
        running.cancel();
        assert!(running.join().unwrap_err().is_cancelled());
        assert_eq!(told.recv(), Ok("cleaned up"));

        // Through the task that it awaits, which refuses.
        let (report, told) = mpsc::channel();
        let outer = remote
            .spawn(move || async move {
                let inner = tulipa::spawn(async move {
                    report.send("begun").unwrap();
                    let _ = tulipa::catch_cancel(pending::<()>()).await;
                    "refused"
                });
                inner.await.unwrap()
            })
            .unwrap();
        assert_eq!(told.recv(), Ok("begun"));
        outer.cancel();
        assert_eq!(outer.join().unwrap(), "refused");

        // Before it begins: the loop is busy with something else until then.
        let (go_on, wait) = mpsc::channel();
        remote.call_soon(move || wait.recv().unwrap()).unwrap();
        let unstarted = remote
            .spawn(|| {
                if true {
                    unreachable!("it was cancelled before it began");
                }
                async {}
            })
            .unwrap();
        unstarted.cancel();
        go_on.send(()).unwrap();
        assert!(unstarted.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_remote_task_of_a_closed_loop_is_cancelled() {
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    let mut tasks = Vec::new();
    let task = remote.spawn(|| async { pending::<()>().await }).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    tasks.push(task);
    tasks.push(remote.spawn(|| async {}).unwrap());
    event_loop.close();
    for mut task in tasks {
        let ended = task.join_timeout(Duration::ZERO).unwrap();
        assert!(ended.unwrap_err().is_cancelled());
        task.abort();
    }
}

#[test]
fn joining_gives_up_after_its_timeout_and_the_task_goes_on() {
    let event_loop = EventLoop::new().unwrap();
    let value = beside(&event_loop, |remote| {
        let (go_on, wait) = mpsc::channel();
        let mut task = remote
            .spawn(move || async move {
                wait.recv().unwrap();
                5
            })
            .unwrap();
        assert!(task.join_timeout(Duration::ZERO).is_none());
        assert!(task.join_timeout(Duration::from_millis(1)).is_none());
        go_on.send(()).unwrap();
        task.join().unwrap()
    });
    assert_eq!(value, 5);
}

#[test]
fn joining_on_the_loops_own_thread_panics_instead_of_hanging() {
    let event_loop = EventLoop::new().unwrap();
    let task = event_loop.remote().spawn(|| async { 3 }).unwrap();
    let mut task = Some(task);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _ = task.as_mut().unwrap().join_timeout(Duration::MAX);
    }));
    let message = caught.unwrap_err();
    let message = message.downcast_ref::<&str>().unwrap();
    assert!(message.contains("await the handle instead"), "{message}");
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(task.unwrap().join().unwrap(), 3, "it has ended");
}

#[test]
fn many_threads_send_and_nothing_is_lost() {
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    let trace = Trace::default();
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let remote = remote.clone();
            thread::spawn(move || {
                (0..250)
                    .map(|number| remote.spawn(move || async move { number }).unwrap())
                    .map(|task| task.join().unwrap())
                    .sum::<u32>()
            })
        })
        .collect();
    let watcher = thread::spawn(move || {
        let sums: Vec<_> = senders.into_iter().map(|it| it.join().unwrap()).collect();
        remote.stop().unwrap();
        sums
    });
    event_loop.call_soon({
        let trace = trace.clone();
        move || {
            call_soon(move || trace.add("local work beside"));
        }
    });
    event_loop.run_forever().unwrap();
    assert_eq!(watcher.join().unwrap(), [31_125; 4]);
    assert_eq!(trace.take(), ["local work beside"]);
}

/// §19 run_coroutine_threadsafe: cancel() cancels the task, which may clean up with awaits.
#[test]
fn a_remote_task_is_cancelled_and_cleans_up() {
    let (sender, cleaned_up) = std::sync::mpsc::channel();
    let mut runner = tulipa::runtime::Runner::new().unwrap();
    runner.run(async {
        let remote = tulipa::runtime::EventLoop::current().remote();
        let (begin, begun) = signal_to_thread();
        let thread = std::thread::spawn(move || {
            let task = remote.spawn(move || async move {
                begin();
                tulipa::finally(std::future::pending::<()>(), async move {
                    tulipa::yield_now().await;
                    sender.send("cleaned up").unwrap();
                })
                .await;
            });
            let task = task.unwrap();
            begun.recv().unwrap();
            task.cancel();
            task.join().unwrap_err()
        });
        while !thread.is_finished() {
            tulipa::yield_now().await;
        }
        assert!(thread.join().unwrap().is_cancelled());
    });
    assert_eq!(cleaned_up.recv(), Ok("cleaned up"));
}

/// A call that another thread can wait for.
fn signal_to_thread() -> (impl FnOnce() + Send, std::sync::mpsc::Receiver<()>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    (move || sender.send(()).unwrap(), receiver)
}
