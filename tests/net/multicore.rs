//! Several loops that run one program, each on a thread of its own.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tulipa::net::{Connection, Server, SharedListener, TcpListener, TcpStream};
use tulipa::runtime::{
    EventLoop, NestedLoop, Runner, Threads, thread_count, thread_index, thread_remotes,
};
use tulipa::{catch_cancel, finally, sleep, spawn, timeout, yield_now};

#[test]
fn what_is_shared_crosses_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<SharedListener>();
    fn is_sent<T: Send>() {}
    is_sent::<Threads>();
    is_sent::<tulipa::runtime::ThreadsOutcome<io::Result<()>>>();
}

/// Waits until other threads have begun: of a main that is cancelled before, nothing runs.
async fn wait_for(begun: &AtomicUsize, count: usize) {
    while begun.load(Ordering::SeqCst) < count {
        sleep(Duration::from_millis(1)).await;
    }
    // They are still in that poll.
    sleep(Duration::from_millis(10)).await;
}

fn threads(count: usize) -> Threads {
    Runner::builder().threads(count)
}

#[test]
fn every_thread_runs_main_on_its_own_loop_and_knows_its_index() {
    let seen = Mutex::new(Vec::new());
    let main_thread = thread::current().id();
    let outcome = threads(3)
        .try_run(async || {
            let index = thread_index();
            assert_eq!(thread_count(), 3);
            assert_eq!(thread_remotes().len(), 3);
            let local = Rc::new(Cell::new(0)); // Not `Send`.
            let clone = Rc::clone(&local);
            spawn(async move { clone.set(thread_index()) })
                .await
                .unwrap();
            assert_eq!(local.get(), index);
            let thread = thread::current();
            seen.lock()
                .unwrap()
                .push((index, thread.id(), thread.name().map(str::to_owned)));
            io::Result::Ok(index)
        })
        .unwrap();
    let outputs: Vec<_> = outcome
        .outputs
        .into_iter()
        .map(|it| it.unwrap().unwrap())
        .collect();
    assert_eq!(outputs, [0, 1, 2]);
    assert_eq!(outcome.first_failure, None);
    assert_eq!(outcome.signal, None);
    assert!(outcome.shutdown.is_clean() && outcome.shutdown.cancelled == 0);
    let seen = seen.into_inner().unwrap();
    let ids: HashSet<_> = seen.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids.len(), 3, "a thread each");
    for (index, id, name) in seen {
        match index {
            0 => assert_eq!(id, main_thread),
            _ => assert_eq!(name, Some(format!("tulipa-{index}"))),
        }
    }
    // And nothing is left on this one.
    assert_eq!((thread_index(), thread_count()), (0, 1));
    assert!(thread_remotes().is_empty());
}

#[test]
fn zero_is_as_many_as_there_are_processors() {
    let expected = thread::available_parallelism().unwrap().get();
    assert_eq!(threads(0).count(), expected);
    let count = AtomicUsize::new(0);
    threads(0).run(async || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(count.into_inner(), expected);
}

#[test]
fn loops_reach_each_other_until_all_mains_have_ended() {
    let outcome = threads(2)
        .try_run(async || {
            let (here, remotes) = (thread_index(), thread_remotes());
            if here == 1 {
                return io::Result::Ok(0); // Its loop goes on.
            }
            let mut sum = 0;
            for _ in 0..100 {
                let task = remotes[1].spawn(|| async {
                    yield_now().await;
                    thread_index()
                });
                sum += task.unwrap().await.unwrap();
            }
            Ok(sum)
        })
        .unwrap();
    assert_eq!(outcome.outputs[0].as_ref().unwrap().as_ref().unwrap(), &100);
}

#[test]
fn the_first_failure_cancels_all_and_is_the_result() {
    let (begun, cleaned) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let result = threads(3).run(async || {
        if thread_index() == 1 {
            wait_for(&begun, 2).await;
            return Err(io::Error::other("the disk is full"));
        }
        begun.fetch_add(1, Ordering::SeqCst);
        finally(pending::<()>(), async {
            sleep(Duration::from_millis(5)).await;
            cleaned.fetch_add(1, Ordering::Relaxed);
        })
        .await;
        Ok(())
    });
    assert_eq!(result.unwrap_err().to_string(), "the disk is full");
    assert_eq!(cleaned.into_inner(), 2, "clean-ups are awaited");

    let outcome = threads(2).try_run(async || match thread_index() {
        0 => pending().await,
        _ => Err::<(), _>(5),
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.outputs, [None, Some(Err(5))]);
    assert_eq!(outcome.first_failure, Some(1));
}

#[test]
fn one_that_refuses_to_be_cancelled_has_its_value_kept() {
    let begun = AtomicUsize::new(0);
    let outcome = threads(2)
        .try_run(async || match thread_index() {
            0 => {
                begun.fetch_add(1, Ordering::SeqCst);
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                cancelled.forgive();
                Ok(7)
            }
            _ => {
                wait_for(&begun, 1).await;
                Err(8)
            }
        })
        .unwrap();
    assert_eq!(outcome.outputs, [Some(Ok(7)), Some(Err(8))]);
}

#[test]
fn a_panic_ends_all_and_goes_on_in_the_caller() {
    for panicking in [0, 1] {
        let (begun, cleaned) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            threads(2).run(async || {
                if thread_index() == panicking {
                    wait_for(&begun, 1).await;
                    panic!("thread {panicking} has a bug");
                }
                begun.fetch_add(1, Ordering::SeqCst);
                finally(pending::<()>(), async {
                    cleaned.fetch_add(1, Ordering::Relaxed);
                })
                .await;
            });
        }))
        .unwrap_err();
        let message = payload.downcast_ref::<String>().unwrap();
        assert_eq!(*message, format!("thread {panicking} has a bug"));
        assert_eq!(cleaned.into_inner(), 1);
    }
}

/// At whatever moment one fails, all end.
#[test]
fn a_failure_at_any_moment_ends_all() {
    for round in 0..100 {
        let outcome = threads(3)
            .try_run(async || {
                if thread_index() == round % 3 {
                    for _ in 0..round % 7 {
                        yield_now().await;
                    }
                    return Err(round);
                }
                pending::<Result<(), usize>>().await
            })
            .unwrap();
        assert_eq!(outcome.first_failure, Some(round % 3));
        assert_eq!(outcome.outputs[round % 3], Some(Err(round)));
        assert!(outcome.shutdown.is_clean());
    }
}

#[test]
fn shutdown_reports_are_merged() {
    let outcome = Runner::builder()
        .shutdown_grace(Duration::from_millis(20))
        .threads(3)
        .each(|builder| builder.exception_handler(|_| ()))
        .try_run(async || {
            drop(spawn(pending::<()>()));
            if thread_index() > 0 {
                drop(spawn(async {
                    let cancelled = catch_cancel(pending::<()>()).await;
                    pending::<()>().await;
                    drop(cancelled);
                }));
            }
            yield_now().await;
        })
        .unwrap();
    assert_eq!(outcome.shutdown.cancelled, 5);
    assert_eq!(outcome.shutdown.stuck.len(), 2);
    assert!(!outcome.shutdown.is_clean());
}

#[test]
fn each_loop_is_set_up_on_its_thread() {
    let heard = std::sync::Arc::new(Mutex::new(Vec::new()));
    let list = std::sync::Arc::clone(&heard);
    let threads = threads(2).each(move |builder| {
        let (list, index) = (std::sync::Arc::clone(&list), thread_index());
        builder.exception_handler(move |context| {
            list.lock()
                .unwrap()
                .push((index, context.message.to_owned()));
        })
    });
    threads.run(async || {
        drop(spawn(async { panic!("in a task") }));
        yield_now().await;
        yield_now().await;
    });
    let mut heard = std::mem::take(&mut *heard.lock().unwrap());
    heard.sort();
    let message = "in a task".to_owned();
    assert_eq!(heard, [(0, message.clone()), (1, message)]);
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let builder = Runner::builder().exception_handler(|_| ());
    let error = builder.threads(2).try_run(async || ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("Threads::each"), "{error}");

    let builder = Runner::builder().reactor("no such reactor");
    let error = builder.threads(3).try_run(async || ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);

    // One of them only: the others do not begin.
    let begun = AtomicUsize::new(0);
    let threads = threads(3).each(|builder| match thread_index() {
        1 => builder.reactor("no such reactor"),
        _ => builder,
    });
    let count = &begun;
    let error = threads
        .try_run(async || {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(begun.into_inner(), 0);

    tulipa::run(async {
        let error = self::threads(2).try_run(async || ()).unwrap_err();
        assert!(error.get_ref().unwrap().is::<NestedLoop>(), "{error}");
        assert!(EventLoop::try_current().is_some());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn pinned_threads_stay_on_their_processor_until_the_end() {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let allowed = || {
        let set = sched_getaffinity(None).unwrap();
        let is_set = |it: &usize| set.is_set(*it);
        (0..CpuSet::MAX_CPU).filter(is_set).collect::<Vec<_>>()
    };
    let before = allowed();
    let outcome = threads(2)
        .pin_cpus()
        .try_run(async || io::Result::Ok(allowed()));
    for (index, output) in outcome.unwrap().outputs.into_iter().enumerate() {
        let place = before[index % before.len()];
        assert_eq!(output.unwrap().unwrap(), [place]);
    }
    assert_eq!(allowed(), before);
}

async fn echo(mut connection: Connection) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        match connection.read(&mut buf).await? {
            0 => return Ok(()),
            count => connection.write_all(&buf[..count]).await?,
        }
    }
}

#[test]
fn every_thread_serves_connections_of_one_address() {
    const CLIENTS: usize = 64;
    let shared = SharedListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = shared.local_addr();
    assert_ne!(addr.port(), 0);
    let outcome = threads(3)
        .try_run(async || {
            if thread_index() > 0 {
                let server = Server::on(shared.listener()?).start(echo)?;
                let served = catch_cancel(server.wait_closed()).await;
                served.unwrap_err().forgive();
                return Ok(server.accepted());
            }
            let mut streams = Vec::new();
            while streams.len() < CLIENTS {
                // Before both listen, a connection is refused.
                let Ok(mut stream) = TcpStream::connect(addr).await else {
                    sleep(Duration::from_millis(1)).await;
                    continue;
                };
                stream.write_all(b"ping").await?;
                let mut buf = [0; 4];
                timeout(Duration::from_secs(10), stream.read_exact(&mut buf))
                    .await
                    .map_err(io::Error::other)??;
                streams.push(stream);
                sleep(Duration::from_millis(1)).await;
            }
            Err(io::Error::other("done"))
        })
        .unwrap();
    let served: Vec<_> = outcome.outputs[1..]
        .iter()
        .map(|it| *it.as_ref().unwrap().as_ref().unwrap())
        .collect();
    assert_eq!(served.iter().sum::<u64>(), CLIENTS as u64);
    if cfg!(target_os = "linux") {
        assert!(served.iter().all(|it| *it > 0), "both serve: {served:?}");
    }
}

#[test]
fn a_shared_listener_keeps_its_port_and_names_it_in_errors() {
    tulipa::run(async {
        let shared = SharedListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = shared.local_addr();
        if cfg!(target_os = "linux") {
            let early = TcpStream::connect(addr).await;
            assert!(early.is_err(), "nobody listens yet");
        }
        for _ in 0..3 {
            let listener = shared.listener().unwrap();
            assert_eq!(listener.local_addr().unwrap(), addr);
            let client = TcpStream::connect(addr).await.unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
        let _listener = shared.listener().unwrap();
        let error = TcpListener::bind(addr).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(format!("{shared:?}").contains(&addr.to_string()));

        let error = SharedListener::bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
    });
}

#[tulipa::test(threads = 2)]
async fn the_attribute_runs_the_body_on_each_thread() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    SEEN.fetch_add(thread_index() + 1, Ordering::SeqCst);
    assert_eq!(thread_count(), 2);
    while SEEN.load(Ordering::SeqCst) < 3 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Ends of the whole process, in children of this one.
#[cfg(unix)]
mod ends {
    use super::*;
    use std::process::{Command, Output};

    use signal_hook::consts::SIGINT;
    use signal_hook::low_level::raise;

    const PART: &str = "TULIPA_TEST_MULTICORE_PART";

    fn play(part: &str) -> (Output, String) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "multicore::ends::the_child", "--nocapture"])
            .env(PART, part)
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output, text)
    }

    /// Not a test of its own: does what the variable says, and nothing without it.
    #[test]
    fn the_child() {
        let Ok(part) = std::env::var(PART) else {
            return;
        };
        #[allow(unsafe_code, reason = "a system call")]
        // SAFETY: no handler has been installed in this process, and the default one is no code of ours.
        unsafe {
            libc::signal(SIGINT, libc::SIG_DFL)
        };
        let threads = Runner::builder().handle_ctrl_c(true).threads(3);
        let begun = AtomicUsize::new(0);
        let ended: io::Result<()> = threads.run(async || {
            begun.fetch_add(1, Ordering::SeqCst);
            let index = thread_index();
            let cleaned_up = async {
                sleep(Duration::from_millis(20)).await;
                println!("{index} cleaned up");
            };
            match &*part {
                "interrupt" if index == 1 => {
                    let signal = async {
                        wait_for(&begun, 3).await;
                        raise(SIGINT).unwrap();
                        pending::<()>().await;
                    };
                    finally(signal, cleaned_up).await;
                }
                // The first main has ended: its loop still hears of signals.
                "late" if index == 0 => return Ok(()),
                "late" if index == 1 => {
                    wait_for(&begun, 3).await;
                    raise(SIGINT).unwrap();
                    finally(pending::<()>(), cleaned_up).await;
                }
                "exit" if index == 2 => {
                    wait_for(&begun, 3).await;
                    tulipa::runtime::exit(7);
                    finally(pending::<()>(), cleaned_up).await;
                }
                "refuse" => {
                    let signal = async {
                        if index == 2 {
                            wait_for(&begun, 3).await;
                            raise(SIGINT).unwrap();
                        }
                        pending::<()>().await;
                    };
                    let cancelled = catch_cancel(signal).await.unwrap_err();
                    assert_eq!(cancelled.reason(), &tulipa::cancel::CancelReason::Signal);
                    cancelled.forgive();
                    println!("{index} refused");
                    return Ok(());
                }
                _ => finally(pending::<()>(), cleaned_up).await,
            }
            Ok(())
        });
        println!("returned {ended:?}");
    }

    fn count(text: &str, what: &str) -> usize {
        text.matches(what).count()
    }

    #[test]
    fn ctrl_c_cancels_every_main_once() {
        let (output, text) = play("interrupt");
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert_eq!(count(&text, "cleaned up"), 3, "{text}");
    }

    #[test]
    fn ctrl_c_is_heard_also_when_the_first_main_has_ended() {
        let (output, text) = play("late");
        assert_eq!(count(&text, "cleaned up"), 2, "{text}");
        // The first has a value to return.
        assert!(
            output.status.success() && text.contains("returned Ok"),
            "{text}"
        );
    }

    #[test]
    fn exit_on_one_thread_ends_all() {
        let (output, text) = play("exit");
        assert_eq!(output.status.code(), Some(7), "{text}");
        assert_eq!(count(&text, "cleaned up"), 3, "{text}");
    }

    #[test]
    fn mains_that_refuse_return_their_values() {
        let (output, text) = play("refuse");
        assert!(
            output.status.success() && text.contains("returned Ok"),
            "{text}"
        );
        assert_eq!(count(&text, "refused"), 3, "{text}");
    }
}
