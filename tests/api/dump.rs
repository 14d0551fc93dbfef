//! Looking inside: what every task waits for, who waits for it, and who waits in circles.
//!
//! §21 and §5 are sections of the specification: introspection, and tasks.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tulipa::cancel::{CancelScope, CancelToken, catch_cancel, finally};
use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::Promise;
use tulipa::task::{
    Builder, Delivery, Dump, GroupError, JoinHandle, JoinSet, TaskId, TaskInfo, TaskState,
    WaitsFor, call_graph, dump, gather, join_all, scope, task_group,
};
use tulipa::{shield, sleep, spawn, timeout, yield_now};

use crate::support::{poll_once, turns};

const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn named<T: 'static>(name: &str, future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    Builder::new().name(name).spawn(future)
}

/// What is known of a task.
fn look(id: TaskId) -> TaskInfo {
    dump().task(id).expect("the task has not ended").clone()
}

/// What a task waits for, in words.
fn waits(id: TaskId) -> String {
    let task = look(id);
    assert_eq!(task.state, TaskState::Waiting);
    let words: Vec<_> = task.waits_for.iter().map(ToString::to_string).collect();
    words.join(", ") + if task.others_too { " and more" } else { "" }
}

/// Waits for both, and polls both each time.
async fn both(one: impl Future, other: impl Future) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut is_one, mut is_other) = (false, false);
    poll_fn(move |cx| {
        is_one = is_one || one.as_mut().poll(cx).is_ready();
        is_other = is_other || other.as_mut().poll(cx).is_ready();
        if is_one && is_other {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await
}

/// §21 introspection: always on, all unfinished tasks, oldest first.
#[tulipa::test(start_paused = true)]
async fn a_dump_tells_names_parents_states_and_where_tasks_were_spawned() {
    let inner = Rc::new(RefCell::new(None));
    let place = inner.clone();
    let outer = named("outer", async move {
        *place.borrow_mut() = Some(spawn(pending::<()>()));
        pending::<()>().await
    });
    let line = line!() - 4;
    drop(spawn(async {}));
    yield_now().await;
    yield_now().await;
    let ready = spawn(async {});

    let dump = dump();
    let main = &dump.tasks[0];
    assert_eq!(main.name.as_deref(), Some("main"));
    assert_eq!((main.state, main.parent), (TaskState::Running, None));
    assert_eq!(main.polls, 3);
    let task = dump.task(outer.id()).unwrap();
    assert_eq!(task.name.as_deref(), Some("outer"));
    assert_eq!((task.state, task.polls), (TaskState::Waiting, 1));
    assert_eq!(task.parent, Some(main.id));
    assert!(task.spawned_at.file().ends_with("dump.rs"));
    assert!((line - 3..=line).contains(&task.spawned_at.line()));
    let child = dump.task(inner.borrow().as_ref().unwrap().id()).unwrap();
    assert_eq!((child.parent, &child.name), (Some(outer.id()), &None));
    let ready = dump.task(ready.id()).unwrap();
    assert_eq!((ready.state, ready.polls), (TaskState::Ready, 0));
    // What is not known is not made up, and what has ended is not there.
    assert!(task.waits_for.is_empty() && !task.others_too);
    assert_eq!(dump.tasks.len(), 4);
    assert!(dump.tasks.is_sorted_by_key(|task| task.id));
}

/// §21: nothing is re-polled to find out.
#[tulipa::test(start_paused = true)]
async fn looking_polls_nothing_and_wakes_nobody() {
    let task = spawn(sleep(SECOND));
    yield_now().await;
    for _ in 0..3 {
        let _ = dump().to_string();
        yield_now().await;
    }
    assert_eq!(look(task.id()).polls, 1);
}

#[test]
fn outside_of_a_loop_there_is_nothing_to_see() {
    assert!(dump().tasks.is_empty());
    assert_eq!(dump().to_string(), "loop: 0 tasks");
    assert!(dump().cycles().is_empty());
}

/// §21: timers, with the time left.
#[tulipa::test(start_paused = true)]
async fn a_sleeping_task_waits_for_its_timer() {
    let sleeper = spawn(sleep(5 * SECOND));
    let endless = spawn(sleep(Duration::MAX));
    let ticking = spawn(async {
        let mut interval = tulipa::interval(2 * SECOND);
        for _ in 0..3 {
            interval.tick().await;
        }
    });
    let twice = spawn(both(sleep(SECOND), sleep(4 * SECOND)));
    yield_now().await;
    assert_eq!(waits(sleeper.id()), "a timer in 5s");
    sleep(SECOND / 2).await;
    assert_eq!(waits(sleeper.id()), "a timer in 4.5s");
    assert_eq!(waits(endless.id()), "a timer that never fires");
    assert_eq!(waits(ticking.id()), "a timer in 1.5s");
    assert_eq!(waits(twice.id()), "a timer in 3.5s and more");
    assert_eq!(
        look(sleeper.id()).waits_for,
        [WaitsFor::Timer {
            left: Some(SECOND * 9 / 2)
        }]
    );
    ticking.await.unwrap();
}

/// §21: for how long, on the loop's clock.
#[tulipa::test(start_paused = true)]
async fn idle_is_the_time_since_the_last_poll() {
    let task = spawn(async {
        sleep(10 * SECOND).await;
        pending::<()>().await
    });
    sleep(3 * SECOND).await;
    assert_eq!(look(task.id()).idle, 3 * SECOND);
    sleep(20 * SECOND).await;
    assert_eq!(look(task.id()).idle, 13 * SECOND);
    assert_eq!(look(task.id()).polls, 2);
}

/// §21: sockets, by descriptor and direction.
#[cfg(unix)]
#[tulipa::test]
async fn a_task_that_waits_for_a_socket_tells_its_descriptor_and_direction() {
    use std::os::fd::{AsFd, AsRawFd};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let listens = listener.as_fd().as_raw_fd();
    let (reads, writes) = (server.as_fd().as_raw_fd(), client.as_fd().as_raw_fd());

    let acceptor = spawn(async move { drop(listener.accept().await) });
    let reader = spawn(async move {
        server.read_exact(&mut [0; 1]).await.unwrap();
        let _ = timeout(1000 * SECOND, server.read(&mut [0; 1])).await;
        server
    });
    turns(3).await;
    assert_eq!(waits(acceptor.id()), format!("readable fd {listens}"));
    assert_eq!(waits(reader.id()), format!("readable fd {reads}"));

    // A timeout's own timer comes second.
    client.write_all(b"x").await.unwrap();
    while look(reader.id()).polls < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(waits(reader.id()), format!("readable fd {reads} and more"));

    let writer = spawn(async move {
        let much = vec![0; 1 << 20];
        while client.write_all(&much).await.is_ok() {}
    });
    while look(writer.id()).state != TaskState::Waiting {
        // The reader takes one byte, and its socket is then kept by its handle.
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(waits(writer.id()), format!("writable fd {writes}"));
}

/// §21 awaited-by edges: join handles, directly and inside of other futures.
#[tulipa::test(start_paused = true)]
async fn a_task_that_awaits_another_tells_and_the_other_knows() {
    let inner = spawn(pending::<()>());
    let id = inner.id();
    let outer = spawn(inner);
    let in_timeout = spawn(timeout(9 * SECOND, spawn(pending::<()>())));
    let of_several = spawn(both(spawn(pending::<()>()), spawn(pending::<()>())));
    yield_now().await;
    assert_eq!(look(outer.id()).waits_for, [WaitsFor::Task { id }]);
    assert!(!look(outer.id()).others_too);
    assert_eq!(look(id).awaited_by, [outer.id()]);

    let guarded = look(in_timeout.id());
    let [WaitsFor::Task { id }] = guarded.waits_for[..] else {
        panic!("{guarded}");
    };
    assert!(guarded.others_too);
    assert_eq!(look(id).awaited_by, [in_timeout.id()]);

    let several = look(of_several.id());
    assert_eq!(several.waits_for.len(), 2);
    assert!(!several.others_too);
    for what in &several.waits_for {
        let WaitsFor::Task { id } = what else {
            panic!("{several}")
        };
        assert_eq!(look(*id).awaited_by, [of_several.id()]);
    }
}

/// Who has polled a handle and then waits for something else does not await the task any more.
#[tulipa::test(start_paused = true)]
async fn a_branch_that_is_not_polled_any_more_is_not_waited_for() {
    let inner = spawn(pending::<()>());
    let id = inner.id();
    let task = spawn(async move {
        let mut inner = inner.shield();
        assert!(poll_once(&mut inner).await.is_pending());
        sleep(SECOND).await;
        sleep(10 * SECOND).await;
        drop(inner);
    });
    yield_now().await;
    // Both were noted in the same poll.
    assert_eq!(waits(task.id()), "a timer in 1s and more");
    assert_eq!(look(id).awaited_by, [task.id()]);
    sleep(2 * SECOND).await;
    assert_eq!(waits(task.id()), "a timer in 9s");
    assert!(look(id).awaited_by.is_empty());
}

/// What a task has begun to wait for is its own, whatever else is run inside of the same poll.
#[tulipa::test(start_paused = true)]
async fn what_is_run_inside_of_a_poll_leaves_the_label_of_the_task_around() {
    let outer = spawn(both(sleep(5 * SECOND), async {
        let eager = Builder::new().spawn_eager(sleep(9 * SECOND));
        assert_eq!(waits(eager.id()), "a timer in 9s");
        eager.on_done(|_| ());
        pending::<()>().await;
    }));
    yield_now().await;
    assert_eq!(waits(outer.id()), "a timer in 5s");
}

/// What a timeout's future has noted is not waited for when the time is up.
#[tulipa::test(start_paused = true)]
async fn a_timeout_that_has_elapsed_leaves_nothing_behind() {
    let task = spawn(async {
        let _ = timeout(SECOND, sleep(9 * SECOND)).await;
        let _ = CancelScope::new()
            .timeout(SECOND)
            .run(sleep(9 * SECOND))
            .await;
        sleep(5 * SECOND).await;
    });
    yield_now().await;
    assert_eq!(waits(task.id()), "a timer in 9s and more");
    sleep(3 * SECOND).await;
    assert_eq!(waits(task.id()), "a timer in 4s");
}

/// A task that completes in the poll in which it has noted something leaves it to nobody.
#[tulipa::test(start_paused = true)]
async fn the_label_of_a_completed_task_is_not_the_next_ones() {
    let first = spawn(async {
        let mut slept = pin!(sleep(SECOND));
        poll_fn(|cx| {
            let _ = slept.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    });
    let next = spawn(pending::<()>());
    yield_now().await;
    assert!(first.is_finished());
    assert_eq!(waits(next.id()), "");
}

/// §21: tokens, and what was cancelled.
#[tulipa::test(start_paused = true)]
async fn a_task_tells_how_far_a_request_to_end_has_come() {
    let delivery = |id| {
        let cancelling = look(id).cancelling.expect("it was asked to end");
        (cancelling.delivery, cancelling.requests)
    };
    let token = CancelToken::new();
    let waiting = spawn({
        let token = token.clone();
        async move { token.cancelled().await }
    });
    let plain = spawn(pending::<()>());
    let cleaning = spawn(finally(pending::<()>(), pending::<()>()));
    let catching = spawn(async {
        let _cancelled = catch_cancel(pending::<()>()).await;
        pending::<()>().await
    });
    let forwarding = spawn(spawn(finally(pending::<()>(), pending::<()>())));
    let forwarding_within = spawn(catch_cancel(spawn(finally(
        pending::<()>(),
        pending::<()>(),
    ))));
    let shielding = spawn(CancelScope::new().shielded().run(pending::<()>()));
    let timing_out = spawn(timeout(SECOND, finally(pending::<()>(), pending::<()>())));
    turns(2).await;
    assert_eq!(waits(waiting.id()), "a cancel token");
    assert_eq!(look(cleaning.id()).cancelling, None);

    for task in [&plain, &cleaning, &catching] {
        assert!(task.cancel_with("closing time"));
    }
    assert!(forwarding.cancel() && forwarding_within.cancel() && shielding.cancel());
    assert_eq!(delivery(plain.id()), (Delivery::Ending, 1));
    assert_eq!(delivery(cleaning.id()), (Delivery::OnItsWay, 1));
    assert_eq!(delivery(catching.id()), (Delivery::OnItsWay, 1));
    assert_eq!(delivery(forwarding.id()), (Delivery::Forwarded, 1));
    assert_eq!(delivery(forwarding_within.id()), (Delivery::Forwarded, 1));
    assert_eq!(delivery(shielding.id()), (Delivery::Shielded, 1));

    sleep(2 * SECOND).await;
    assert!(plain.is_finished());
    assert_eq!(delivery(cleaning.id()), (Delivery::CleaningUp, 1));
    assert_eq!(delivery(catching.id()), (Delivery::Caught, 1));
    assert_eq!(delivery(timing_out.id()), (Delivery::CleaningUp, 0));
    let text = look(cleaning.id()).to_string();
    assert!(
        text.contains("cancelling (closing time: clean-up is running)"),
        "{text}"
    );
    token.cancel();
    drop(shield(waiting).await);
    catching.abort(); // It has swallowed its request,
    shielding.abort(); // and this one never gets to see it.
}

/// Two tasks, each of which awaits the other.
fn deadlocked(others: impl Fn() -> Option<Duration>) -> (JoinHandle<()>, TaskId, TaskId) {
    let place = Rc::new(RefCell::new(None::<JoinHandle<()>>));
    let limit = others();
    let one = named("one", {
        let place = place.clone();
        async move {
            yield_now().await;
            let other = place.take().unwrap();
            match limit {
                None => drop(other.await),
                Some(limit) => both(other, sleep(limit)).await,
            }
        }
    });
    let id = one.id();
    let other = named("other", async move { drop(one.await) });
    let other_id = other.id();
    *place.borrow_mut() = Some(other);
    (spawn(async {}), id, other_id)
}

/// §21 deadlock cycle detection.
#[tulipa::test(start_paused = true)]
async fn tasks_that_await_one_another_are_found_unless_they_wait_for_more() {
    let (_, one, other) = deadlocked(|| None);
    let (_, _, _) = deadlocked(|| Some(SECOND));
    let chain = spawn(spawn(pending::<()>()));
    turns(4).await;
    let seen = dump();
    assert_eq!(seen.cycles(), [vec![one, other]]);
    let text = seen.to_string();
    let last = text.lines().last().unwrap();
    assert_eq!(
        last,
        format!(
            "deadlock: task {one} 'one' waits for task {other}; \
             task {other} 'other' waits for task {one}"
        )
    );
    // Once the timer is over, the second pair is in a deadlock, too.
    sleep(2 * SECOND).await;
    assert_eq!(dump().cycles().len(), 2);
    drop(chain);
}

#[tulipa::test(start_paused = true)]
async fn long_circles_begin_with_their_oldest_task() {
    const LENGTH: usize = 1000;
    let handles: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
    let mut ids = Vec::new();
    for _ in 0..LENGTH {
        let handles_here = handles.clone();
        let task = spawn(async move {
            // The oldest takes the youngest, the second the one before, and so on: in what order, is
            // for the assertion below.
            let next = handles_here.borrow_mut().pop().unwrap();
            drop(next.await);
        });
        ids.push(task.id());
        handles.borrow_mut().push(task);
    }
    // Shifted by one, so that all of them are in one circle.
    {
        let mut handles = handles.borrow_mut();
        handles.reverse();
        handles.rotate_right(1);
    }
    yield_now().await;
    let cycles = dump().cycles();
    assert_eq!(cycles.len(), 1);
    assert_eq!(cycles[0].len(), LENGTH);
    assert_eq!(cycles[0][0], ids[0]);
    let mut sorted = cycles[0].clone();
    sorted.sort();
    assert_eq!(sorted, ids);
}

/// The lines of a dump, without where tasks were spawned.
fn lines(dump: &Dump) -> Vec<String> {
    let text = dump.to_string();
    let cut = |line: &str| line.split(", spawned at").next().unwrap().to_owned();
    text.lines().map(cut).collect()
}

/// §21 pstree.
#[test]
fn the_text_is_a_tree_with_a_line_a_task() {
    let mut runner = tulipa::runtime::Runner::builder()
        .start_paused(true)
        .build()
        .unwrap();
    runner.run(async {
        let base = tulipa::task::id().as_u64() - 1;
        let short = named("short", async {
            drop(named("orphan", async { sleep(2 * SECOND).await }));
        });
        let server = named("server", async {
            drop(named("worker", async {
                timeout(8 * SECOND, pending::<()>()).await
            }));
            drop(spawn(pending::<()>()));
            sleep(60 * SECOND).await;
        });
        let joins = spawn(server);
        drop(spawn(async {}));
        sleep(SECOND).await;
        drop(short);
        joins.task().set_name("joins");
        drop(spawn(async {}));
        let text = lines(&dump()).join("\n");
        // Ids print without their loop in the first loop of a process only.
        let text = text.replace(&format!("{}:", base >> 48), "");
        assert_eq!(
            text,
            "loop: 7 tasks, 1 running, 1 ready, 5 waiting\n\
             ├─ 1 'main', running, polls 2\n\
             │  ├─ 3 'server', waiting 1s for a timer in 59s, awaited by 4, polls 1\n\
             │  │  ├─ 7 'worker', waiting 1s for a timer in 7s, polls 1\n\
             │  │  └─ 8, waiting 1s, polls 1\n\
             │  ├─ 4 'joins', waiting 1s for task 3, polls 1\n\
             │  └─ 9, ready, polls 0\n\
             └─ 6 'orphan', waiting 1s for a timer in 1s, child of 2 (ended), polls 1"
        );
    });
}

/// However deep the family, no line gets long, and no stack overflows.
#[tulipa::test(start_paused = true)]
async fn deep_families_are_indented_up_to_a_limit() {
    fn descend(depth: u32) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            if depth > 0 {
                drop(spawn(descend(depth - 1)));
            }
            pending::<()>().await
        })
    }
    drop(spawn(descend(10_000)));
    turns(10_002).await;
    let lines = lines(&dump());
    assert_eq!(lines.len(), 10_003);
    let limit = lines.iter().map(|line| line.chars().count()).max();
    assert!(limit < Some(32 * 3 + 80), "{limit:?}");
    let parents = lines.iter().filter(|line| line.contains("child of"));
    assert_eq!(parents.count(), 10_002 - 32);
}

/// §21 capture_call_graph, format_call_graph.
#[tulipa::test(start_paused = true)]
async fn a_call_graph_tells_the_chain_below_and_the_waiters_above() {
    let last = named("last", sleep(9 * SECOND));
    let last_id = last.id();
    let middle = named("middle", async move { drop(last.await) });
    let task = middle.task();
    let first = named("first", async move { drop(middle.await) });
    let unrelated = spawn(pending::<()>());
    yield_now().await;
    let graph = call_graph(&task).unwrap();
    assert_eq!(graph.task.id, task.id());
    let [below] = &graph.awaits[..] else {
        panic!("{graph}")
    };
    assert_eq!((below.task.id, below.distance), (last_id, 1));
    let [above] = &graph.awaited_by[..] else {
        panic!("{graph}")
    };
    assert_eq!((above.task.id, above.distance), (first.id(), 1));

    let from_below = dump().call_graph(last_id).unwrap();
    let distances: Vec<_> = from_below.awaited_by.iter().map(|it| it.distance).collect();
    assert_eq!(distances, [1, 2]);
    let text = from_below.to_string();
    let mut lines = text.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .contains("'last', waiting 0ns for a timer in 9s")
    );
    assert_eq!(lines.next(), Some("awaited by:"));
    assert!(lines.next().unwrap().contains("   ") && text.contains("      "));
    assert_eq!(lines.count(), 1);

    let finished = spawn(async {});
    let task = finished.task();
    finished.await.unwrap();
    assert!(call_graph(&task).is_none());
    drop(unrelated);
}

#[tulipa::test]
async fn a_call_graph_of_a_circle_ends() {
    let (_, one, other) = deadlocked(|| None);
    turns(4).await;
    let graph = dump().call_graph(one).unwrap();
    let seen = |links: &[tulipa::task::CallGraphTask]| {
        let links = links.iter();
        links
            .map(|it| (it.task.id, it.is_repeated))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&graph.awaits), [(other, false), (one, true)]);
    assert_eq!(seen(&graph.awaited_by), [(other, false), (one, true)]);
    assert!(graph.to_string().contains("see above"));
}

/// §21 awaited-by edges: groups, scopes, sets and lists tell how many are left.
#[tulipa::test(start_paused = true)]
async fn who_waits_for_children_tells_how_many_and_scoped_ones_are_in_the_tree() {
    let group = spawn(async {
        let done: Result<(), GroupError<()>> = task_group(async |group| {
            for _ in 0..2 {
                drop(group.spawn(async {
                    sleep(9 * SECOND).await;
                    Ok(())
                }));
            }
            sleep(SECOND).await;
            Ok(())
        })
        .await;
        drop(done);
    });
    let borrowed = 5 * SECOND;
    let scoping = spawn(async move {
        scope(async |scope| {
            drop(scope.spawn(async { sleep(borrowed).await }));
            drop(scope.spawn(async { pending::<()>().await }));
        })
        .await
    });
    let set = spawn(async {
        let mut set = JoinSet::new();
        let _ = set.spawn(pending::<()>());
        let _ = set.spawn(pending::<()>());
        set.join_next().await
    });
    let many = spawn(join_all((0..100).map(|_| pending::<()>())));
    let gathered = spawn(gather([spawn(pending::<()>())]));
    turns(3).await;

    // The body of the group says more than the group.
    assert_eq!(waits(group.id()), "a timer in 1s and more");
    assert_eq!(waits(scoping.id()), "2 children");
    assert_eq!(waits(set.id()), "2 children");
    assert_eq!(waits(many.id()), "100 children");
    assert_eq!(waits(gathered.id()), "1 child");
    let seen = dump();
    let is_scoped = |task: &&TaskInfo| task.parent == Some(scoping.id());
    let scoped: Vec<_> = seen.tasks.iter().filter(is_scoped).collect();
    assert_eq!(scoped.len(), 2);
    assert_eq!(scoped[0].waits_for[0].to_string(), "a timer in 5s");
    assert!(scoped[1].waits_for.is_empty());
    assert!(seen.tasks.is_sorted_by_key(|task| task.id));

    sleep(2 * SECOND).await;
    assert_eq!(waits(group.id()), "2 children");
    // A child of a scope was run inside of its owner, whose label is its own.
    sleep(4 * SECOND).await;
    assert_eq!(waits(scoping.id()), "1 child");
    scoping.abort();
    turns(2).await;
    let seen = dump();
    assert!(
        !seen
            .tasks
            .iter()
            .any(|task| task.parent == Some(scoping.id()))
    );
}

#[tulipa::test(start_paused = true)]
async fn tasks_of_a_scope_that_is_gone_are_not_shown() {
    for _ in 0..100 {
        scope(async |scope| drop(scope.spawn(async { yield_now().await }))).await;
    }
    assert_eq!(dump().tasks.len(), 1);
}

/// §21: promises, and work on other threads.
#[tulipa::test]
async fn who_waits_for_a_value_or_a_thread_tells() {
    let promise = Promise::<u8>::new();
    let waiting = spawn(promise.clone());
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let blocking = spawn(async move {
        tulipa::spawn_blocking(move || receive.recv())
            .await
            .unwrap()
    });
    turns(2).await;
    assert_eq!(waits(waiting.id()), "a promise");
    assert_eq!(waits(blocking.id()), "work on another thread");
    send.send(()).unwrap();
    assert!(blocking.await.unwrap().is_ok());
    drop(promise);
}

/// Callbacks are no tasks.
#[tulipa::test(start_paused = true)]
async fn callbacks_are_not_in_a_dump_and_are_nobodys_parents() {
    let task = Rc::new(RefCell::new(None));
    let place = task.clone();
    drop(tulipa::runtime::call_later(9 * SECOND, || {}));
    drop(tulipa::runtime::call_soon(move || {
        *place.borrow_mut() = Some(spawn(pending::<()>()));
    }));
    turns(3).await;
    let seen = dump();
    assert_eq!(seen.tasks.len(), 2);
    let task = task.take().unwrap();
    assert_eq!(seen.task(task.id()).unwrap().parent, None);
}

/// §21 from outside of a run, with the loop's time.
#[test]
fn a_loop_that_does_not_run_can_be_looked_at() {
    let event_loop = tulipa::runtime::EventLoop::builder()
        .start_paused(true)
        .build()
        .unwrap();
    let mut task = None;
    event_loop.block_on(async {
        task = Some(spawn(sleep(60 * SECOND)));
        sleep(20 * SECOND).await;
    });
    let task = task.unwrap();
    let seen = event_loop.dump();
    assert_eq!(seen.tasks.len(), 1);
    let expected = [WaitsFor::Timer {
        left: Some(40 * SECOND),
    }];
    assert_eq!(seen.task(task.id()).unwrap().waits_for, expected);
    assert_eq!(event_loop.metrics().timers, 1);
    assert!(dump().tasks.is_empty());
}

/// §21 `--json`: the same as data.
#[cfg(feature = "serde")]
#[tulipa::test(start_paused = true)]
async fn a_dump_serialises_with_times_in_seconds_and_ids_as_they_print() {
    let task = named("sleeper", sleep(Duration::from_millis(1500)));
    let joiner = spawn(task);
    yield_now().await;
    let dump = dump();
    let json = serde_json::to_value(&dump).unwrap();
    let sleeper = &json["tasks"][1];
    assert_eq!(sleeper["id"], dump.tasks[1].id.to_string());
    assert_eq!(sleeper["name"], "sleeper");
    assert_eq!(sleeper["state"], "waiting");
    assert_eq!(sleeper["waits_for"][0]["type"], "timer");
    assert_eq!(sleeper["waits_for"][0]["left"], 1.5);
    assert_eq!(sleeper["idle"], 0.0);
    assert!(sleeper["spawned_at"].as_str().unwrap().contains("dump.rs:"));
    assert_eq!(sleeper["awaited_by"][0], joiner.id().to_string());
    assert_eq!(json["tasks"][2]["waits_for"][0]["type"], "task");
    let metrics = serde_json::to_value(tulipa::runtime::metrics()).unwrap();
    assert_eq!(metrics["tasks"], 3);
    joiner.cancel_with("enough");
    let json = serde_json::to_value(tulipa::task::dump()).unwrap();
    assert_eq!(json["tasks"][2]["cancelling"]["reason"], "enough");
    assert_eq!(json["tasks"][2]["cancelling"]["delivery"], "forwarded");
}
