//! The runner: repeated runs, borrowed futures, the reactor's choice.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Drops, turns};
use tulipa::runtime::{Runner, reactor};

#[test]
fn the_future_of_a_run_may_borrow() {
    let mut list = vec![1, 2];
    let mut runner = Runner::new().unwrap();
    runner.run(async {
        tulipa::yield_now().await;
        list.push(3);
    });
    assert_eq!(list, [1, 2, 3]);
}

#[test]
fn tasks_left_by_one_run_go_on_in_the_next() {
    let mut runner = Runner::new().unwrap();
    let rounds = Rc::new(Cell::new(0));
    let count = rounds.clone();
    runner.run(async move {
        drop(tulipa::spawn(async move {
            loop {
                count.set(count.get() + 1);
                tulipa::yield_now().await;
            }
        }));
    });
    assert_eq!(rounds.get(), 0);
    runner.run(turns(3));
    assert!(rounds.get() >= 2);
}

#[test]
fn a_thousand_runs_leave_no_descriptor_behind() {
    let mut runner = Runner::new().unwrap();
    for number in 0..1000 {
        assert_eq!(runner.run(async move { number }), number);
    }
    drop(runner);
    for _ in 0..100 {
        tulipa::run(async {});
    }
}

#[test]
fn what_a_run_held_is_dropped_inside_its_loop() {
    struct SpawnOnDrop;
    impl Drop for SpawnOnDrop {
        fn drop(&mut self) {
            drop(tulipa::spawn(async {}));
        }
    }
    let guard = SpawnOnDrop;
    tulipa::run(async move {
        let _guard = guard;
        tulipa::yield_now().await;
    });
}

#[test]
fn loops_on_two_threads_are_independent() {
    let drops = Drops::default();
    let witness = drops.witness();
    tulipa::run(async move {
        drop(tulipa::spawn(async move {
            let _witness = witness;
            pending::<()>().await;
        }));
        let other = std::thread::spawn(|| tulipa::run(async { tulipa::spawn(async { 2 }).await }));
        assert_eq!(other.join().unwrap().unwrap(), 2);
        assert_eq!(tulipa::spawn(async { 1 }).await.unwrap(), 1);
    });
    assert_eq!(drops.count(), 1);
}

#[test]
fn every_reactor_can_be_chosen_by_name() {
    for name in reactor::names() {
        let mut runner = Runner::builder().reactor(name).build().unwrap();
        assert_eq!(runner.reactor_name(), name);
        runner.run(async { tulipa::sleep(Duration::from_millis(1)).await });
    }
    let chosen = std::env::var(reactor::VARIABLE).unwrap_or_default();
    let expected = if chosen.is_empty() { "mio" } else { &chosen };
    assert_eq!(Runner::new().unwrap().reactor_name(), expected);
}

/// A reactor of the program's own: the trait is public, and the choice is open.
#[test]
fn a_reactor_of_ones_own_can_be_plugged_in() {
    use std::io;
    use std::sync::Arc;
    use tulipa::runtime::reactor::{Event, Interest, Reactor, Source, Token, Wait, Wakeup};

    struct Counting {
        inner: Box<dyn Reactor>,
        polls: Rc<Cell<u32>>,
    }

    impl Reactor for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn register(&mut self, s: &mut dyn Source, t: Token, i: Interest) -> io::Result<()> {
            self.inner.register(s, t, i)
        }
        fn deregister(&mut self, s: &mut dyn Source, t: Token) -> io::Result<()> {
            self.inner.deregister(s, t)
        }
        fn forget(&mut self, t: Token) {
            self.inner.forget(t);
        }
        fn rearm(&mut self, t: Token, i: Interest) {
            self.inner.rearm(t, i);
        }
        fn needs_rearm(&self) -> bool {
            self.inner.needs_rearm()
        }
        fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
            self.polls.set(self.polls.get() + 1);
            self.inner.poll(events, wait)
        }
        fn waker(&self) -> Arc<dyn Wakeup> {
            self.inner.waker()
        }
    }

    let polls = Rc::new(Cell::new(0));
    let inner = reactor::Choice::default().make().unwrap();
    let counting: Box<dyn Reactor> = Box::new(Counting {
        inner,
        polls: polls.clone(),
    });
    let mut runner = Runner::builder().reactor(counting).build().unwrap();
    assert_eq!(runner.reactor_name(), "counting");
    runner.run(async { tulipa::sleep(Duration::from_millis(1)).await });
    assert!(polls.get() >= 1);

    // While tasks are ready, the reactor is asked once in 256 polls.
    let before = polls.get();
    runner.run(turns(10_000));
    let asked = polls.get() - before;
    assert!(asked <= 2 * 10_000 / 256 + 200, "asked {asked} times");
}

/// LP12: a reactor that fails ends the run with its error, and does not spin.
#[test]
fn a_failing_reactor_ends_the_run_with_its_error() {
    use std::io;
    use std::sync::Arc;
    use tulipa::runtime::reactor::{Event, Interest, Reactor, Source, Token, Wait, Wakeup};

    struct Failing(Box<dyn Reactor>);

    impl Reactor for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }
        fn register(&mut self, _: &mut dyn Source, _: Token, _: Interest) -> io::Result<()> {
            Err(io::ErrorKind::OutOfMemory.into())
        }
        fn deregister(&mut self, _: &mut dyn Source, _: Token) -> io::Result<()> {
            Ok(())
        }
        fn forget(&mut self, _: Token) {}
        fn rearm(&mut self, _: Token, _: Interest) {}
        fn needs_rearm(&self) -> bool {
            false
        }
        fn poll(&mut self, _: &mut Vec<Event>, wait: Wait) -> io::Result<()> {
            match wait {
                Wait::Poll => Ok(()),
                _ => Err(io::ErrorKind::OutOfMemory.into()),
            }
        }
        fn waker(&self) -> Arc<dyn Wakeup> {
            self.0.waker()
        }
    }

    let inner = reactor::Choice::default().make().unwrap();
    let failing: Box<dyn Reactor> = Box::new(Failing(inner));
    let mut runner = Runner::builder().reactor(failing).build().unwrap();
    let error = runner.try_run(pending::<()>()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    assert!(
        text.contains("reactor 'failing' cannot wait"),
        "it names the operation: {text}"
    );
    // A reactor that refuses a socket ends that socket's operation, which never comes to wait.
    let error = runner.try_run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let mut stream = tulipa::net::TcpStream::connect(listener.local_addr()?).await?;
        stream.read(&mut [0]).await
    });
    let error = error.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    assert!(text.contains("cannot watch a descriptor"), "{text}");
}

#[test]
fn a_runner_may_live_in_a_thread_local() {
    use std::cell::RefCell;
    thread_local! {
        static RUNNER: RefCell<Option<Runner>> = const { RefCell::new(None) };
    }
    let thread = std::thread::spawn(|| {
        RUNNER.with_borrow_mut(|runner| {
            let runner = runner.insert(Runner::new().unwrap());
            runner.run(async { drop(tulipa::spawn(pending::<()>())) });
        });
    });
    thread.join().unwrap();
}

/// Spawns a task when it is dropped.
struct SpawnsOnDrop(Drops);

impl Drop for SpawnsOnDrop {
    fn drop(&mut self) {
        let witness = self.0.witness();
        drop(tulipa::spawn(async move {
            let _witness = witness;
            unreachable!("the loop is closed");
        }));
    }
}

#[test]
fn what_is_spawned_late_while_closing_is_dropped_too() {
    let drops = Drops::default();
    let spawns = SpawnsOnDrop(drops.clone());
    let runner = Runner::builder()
        .exception_handler(move |_| _ = &spawns)
        .build()
        .unwrap();
    drop(runner);
    assert_eq!(drops.count(), 1);
}

#[test]
fn an_exception_handler_whose_destructor_panics_does_not_stop_the_close() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropping the handler");
        }
    }
    let panics = Panics;
    let drops = Drops::default();
    let witness = drops.witness();
    let mut runner = Runner::builder()
        .exception_handler(move |_| _ = &panics)
        .build()
        .unwrap();
    runner.run(async {
        drop(tulipa::spawn(async move {
            let _witness = witness;
            pending::<()>().await;
        }));
    });
    drop(runner);
    assert_eq!(drops.count(), 1);
}

#[test]
fn destructors_that_respawn_themselves_do_not_keep_a_loop_from_closing() {
    // The last of them is leaked, so it must hold nothing.
    thread_local! {
        static ROUNDS: Cell<u64> = const { Cell::new(0) };
    }
    struct Respawns;
    impl Drop for Respawns {
        fn drop(&mut self) {
            ROUNDS.set(ROUNDS.get() + 1);
            let again = Respawns;
            drop(tulipa::spawn(async move {
                let _again = again;
                pending::<()>().await;
            }));
        }
    }
    let (mut runner, heard) = crate::support::listening_runner();
    runner.run(async move {
        drop(tulipa::spawn(async move {
            let _first = Respawns;
            pending::<()>().await;
        }));
        turns(2).await;
    });
    drop(runner);
    assert!(ROUNDS.get() >= 1000);
    let heard = heard.take();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].1.contains("is leaked"), "{}", heard[0].1);
}

#[test]
fn closing_a_loop_inside_a_task_leaves_the_task_its_identity() {
    let mut other = Some(Runner::new().unwrap());
    tulipa::run(async {
        let id = tulipa::task::id();
        other.as_mut().unwrap();
        drop(other.take());
        assert_eq!(tulipa::task::id(), id);
    });
}
