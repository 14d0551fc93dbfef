//! Any descriptor, and callbacks for its readiness.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use crate::give_up;
use tulipa::net::{AsyncFd, on_readable, on_writable};
use tulipa::runtime::{ExceptionKind, Runner};
use tulipa::{spawn, timeout, yield_now};

fn pair() -> (UnixStream, UnixStream) {
    let (one, two) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    two.set_nonblocking(true).unwrap();
    (one, two)
}

fn watched_pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (ours, theirs) = pair();
    (AsyncFd::new(ours).unwrap(), theirs)
}

async fn turns(count: u32) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Time in which the loop looks outside.
async fn a_moment() {
    tulipa::sleep(Duration::from_millis(2)).await;
}

/// The kernel does not refuse what it has reported. Were it to, no edge would come until there is more.
#[test]
fn an_event_that_is_refused_right_away_is_asked_for_again() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        let mut calls = 0;
        let mut buf = [0; 8];
        let read = ours.read_with(|mut it| {
            calls += 1;
            match calls {
                1 => Err(ErrorKind::WouldBlock.into()),
                _ => it.read(&mut buf),
            }
        });
        let writer = async {
            a_moment().await;
            theirs.write_all(b"abc").unwrap();
        };
        let (count, ()) = timeout(Duration::from_secs(60), async {
            tulipa::join!(read, writer)
        })
        .await
        .expect("it is asked for again");
        assert_eq!(count.unwrap(), 3);
        assert_eq!(calls, 2);
    });
}

#[test]
fn an_event_that_is_refused_for_ever_costs_two_calls() {
    let mut runner = Runner::builder().build().unwrap();
    if runner.reactor_name() != "mio" {
        return; // poll(2) reports levels: one call a turn.
    }
    let calls = Rc::new(Cell::new(0));
    let count = Rc::clone(&calls);
    runner.run(async move {
        let (ours, mut theirs) = watched_pair();
        theirs.write_all(b"abc").unwrap();
        let task = spawn(async move {
            let refuse = |_: &UnixStream| {
                count.set(count.get() + 1);
                Err(ErrorKind::WouldBlock.into())
            };
            ours.read_with::<()>(refuse).await
        });
        for _ in 0..20 {
            a_moment().await;
        }
        task.abort();
    });
    assert_eq!(calls.get(), 2, "the event, and the one that was asked for");
}

// §15, TC03
#[test]
fn guards_take_note_of_false_readiness() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        let reader = async {
            let mut rounds = 0;
            let mut buf = [0; 8];
            loop {
                rounds += 1;
                let mut guard = ours.readable().await.unwrap();
                match guard.try_io(|it| it.get_ref().read(&mut buf)) {
                    Ok(result) => return (rounds, result.unwrap()),
                    Err(error) => assert_eq!(error.to_string(), "the operation would block"),
                }
            }
        };
        let writer = async {
            a_moment().await;
            theirs.write_all(b"abc").unwrap();
        };
        let ((rounds, count), ()) = tulipa::join!(reader, writer);
        assert_eq!(count, 3);
        assert!(rounds <= 2, "no spinning: {rounds} rounds");

        // A guard that is dropped says nothing: it counts as ready still.
        theirs.write_all(b"def").unwrap();
        drop(ours.readable().await.unwrap());
        let mut again = std::pin::pin!(ours.readable());
        let guard = give_up::soon(1, again.as_mut()).await;
        let guard = guard.expect("ready at once").unwrap();
        assert_eq!(guard.get_inner().read(&mut [0; 8]).unwrap(), 3);
        assert!(std::ptr::eq(guard.get_ref(), &ours));
        assert!(format!("{guard:?} {ours:?}").contains("AsyncFd"));
    });
}

// TC18: what comes between the operation and the note that it found nothing
#[test]
fn clearing_does_not_lose_what_has_come_since() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        theirs.write_all(b"x").unwrap();
        let mut guard = ours.readable().await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(guard.get_inner().read(&mut buf).unwrap(), 1);
        let error = guard.get_inner().read(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        theirs.write_all(b"y").unwrap();
        a_moment().await; // The loop is told now, once.
        guard.clear_ready();
        let _ = ours.readable().await.unwrap();
        assert_eq!(ours.get_ref().read(&mut buf).unwrap(), 1);

        // And where it is empty, clearing makes the next one wait.
        let mut guard = ours.readable().await.unwrap();
        guard.clear_ready();
        assert!(give_up::soon(1, ours.readable()).await.is_none());
    });
}

// §15
#[test]
fn what_is_always_ready_is_refused_with_a_reason() {
    tulipa::run(async {
        let exe = std::env::current_exe().unwrap();
        let file = File::open(&exe).unwrap();
        let error = AsyncFd::new(file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let text = error.to_string();
        assert!(
            text.starts_with("a regular file cannot be waited for"),
            "{text}"
        );
        let cause = error.get_ref().unwrap().source().unwrap();
        let cause = cause.downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.raw_os_error(), Some(libc::EPERM));

        let folder = File::open(exe.parent().unwrap()).unwrap();
        let error = on_readable(folder, |_| ()).unwrap_err();
        assert!(error.to_string().contains("a directory"), "{error}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn descriptors_of_any_kind_can_be_waited_for() {
    use rustix::event::{EventfdFlags, eventfd};
    use std::os::fd::OwnedFd;

    tulipa::run(async {
        let counter = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let counter = AsyncFd::new(counter).unwrap();
        let read = |fd: &OwnedFd| -> io::Result<u64> {
            let mut buf = [0; 8];
            rustix::io::read(fd, &mut buf)?;
            Ok(u64::from_ne_bytes(buf))
        };
        assert!(give_up::soon(2, counter.read_with(read)).await.is_none());
        rustix::io::write(&counter, &7u64.to_ne_bytes()).unwrap();
        assert_eq!(counter.read_with(read).await.unwrap(), 7);
        let write = |fd: &OwnedFd| Ok(rustix::io::write(fd, &1u64.to_ne_bytes())?);
        assert_eq!(counter.write_with(write).await.unwrap(), 8);

        // A terminal.
        let (terminal, user) = super::pipe::pseudo_terminal();
        rustix::io::ioctl_fionbio(&terminal, true).unwrap();
        let terminal = AsyncFd::new(terminal).unwrap();
        rustix::io::write(&user, b"text").unwrap();
        let mut buf = [0; 16];
        let read = terminal.read_with(|it| Ok(rustix::io::read(it, &mut buf)?));
        assert_eq!(read.await.unwrap(), 4);
    });
}

// TC15
#[test]
fn of_two_who_wait_for_one_byte_one_gets_it_and_one_waits_again() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        let ours = Rc::new(ours);
        let got = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (ours, got) = (ours.clone(), got.clone());
                spawn(async move {
                    let mut buf = [0; 1];
                    let count = ours.read_with(|mut it| it.read(&mut buf)).await.unwrap();
                    got.set(got.get() + count);
                })
            })
            .collect();
        a_moment().await;
        theirs.write_all(b"1").unwrap();
        a_moment().await;
        assert_eq!(got.get(), 1);
        theirs.write_all(b"2").unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(got.get(), 2);
    });
}

// TC17
#[test]
fn each_direction_is_waited_for_by_itself() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        // It is writable and not readable.
        ours.writable().await.unwrap().clear_ready();
        let _ = ours.writable().await.unwrap();
        assert!(give_up::soon(3, ours.readable()).await.is_none());
        theirs.write_all(b"x").unwrap();
        let _ = ours.readable().await.unwrap();

        // Polled by hand, and full.
        let fill = |mut it: &UnixStream| it.write(&[0; 4096]);
        while give_up::soon(3, ours.write_with(fill)).await.is_some() {}
        let mut can_write = false;
        std::future::poll_fn(|cx| {
            can_write = ours.poll_write_ready(cx).is_ready();
            ours.poll_read_ready(cx).map(|it| drop(it.unwrap()))
        })
        .await;
        assert!(!can_write);
    });
}

// CN02
#[test]
fn waiting_can_be_given_up_at_every_await() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        let mut buf = [0; 4];
        for polls in 0..3 {
            assert!(give_up::soon(polls, ours.readable()).await.is_none());
            let read = ours.read_with(|mut it| it.read(&mut buf));
            assert!(give_up::soon(polls, read).await.is_none());
        }
        theirs.write_all(b"kept").unwrap();
        let count = ours.read_with(|mut it| it.read(&mut buf)).await.unwrap();
        assert_eq!(&buf[..count], b"kept");
        assert!(give_up::soon(0, ours.writable()).await.is_none());
        let _ = ours.writable().await.unwrap();
    });
}

// TC19
#[test]
fn a_descriptor_can_be_watched_again_after_it_was_given_back() {
    tulipa::run(async {
        let (ours, mut theirs) = pair();
        let ours = Rc::new(ours);
        for _ in 0..3 {
            let fd = AsyncFd::new(ours.clone()).unwrap();
            theirs.write_all(b"x").unwrap();
            let _ = fd.readable().await.unwrap();
            drop(fd);
            let fd = AsyncFd::new(ours.clone()).unwrap();
            let _ = fd.readable().await.unwrap();
            let ours = fd.into_inner();
            assert_eq!((&*ours).read(&mut [0; 4]).unwrap(), 1);
        }
        let mut fd = AsyncFd::new(ours.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert!(give_up::soon(2, fd.readable()).await.is_none());
        let _ = fd.get_mut().as_fd();
    });
}

#[test]
fn a_closed_loop_is_an_error_and_its_callbacks_are_gone() {
    let (fd, handle, _theirs) = tulipa::run(async {
        let (ours, theirs) = watched_pair();
        let fd = Rc::new(ours);
        let handle = fd.on_readable(|_| ());
        turns(3).await;
        (fd, handle, theirs)
    });
    assert!(!handle.remove(), "it went with the loop");
    assert!(!fd.remove_readable());
    tulipa::run(async move {
        assert!(fd.readable().await.is_err());
    });
}

// §15: level-triggered, persistent
#[test]
fn a_callback_is_called_as_long_as_something_is_left() {
    tulipa::run(async {
        let (ours, mut theirs) = pair();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let list = seen.clone();
        let handle = on_readable(ours, move |mut it: &UnixStream| {
            let mut byte = [0; 1];
            if let Ok(1) = it.read(&mut byte) {
                list.borrow_mut().push(byte[0]);
            }
        })
        .unwrap();
        theirs.write_all(b"abcde").unwrap();
        a_moment().await;
        turns(20).await;
        assert_eq!(*seen.borrow(), b"abcde");
        // And later again, also where nothing was left in between.
        theirs.write_all(b"fg").unwrap();
        a_moment().await;
        turns(20).await;
        assert_eq!(*seen.borrow(), b"abcdefg");
        assert!(!handle.is_removed());
        assert!(handle.remove());
        assert!(!handle.remove());
        theirs.write_all(b"h").unwrap();
        a_moment().await;
        assert_eq!(seen.borrow().len(), 7);
        assert!(format!("{handle:?}").contains("is_removed: true"));
    });
}

// §15: a second call replaces the callback and cancels the old handle
#[test]
fn a_second_callback_replaces_the_first() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        let fd = Rc::new(ours);
        let calls = Rc::new(Cell::new((0, 0)));
        let counter = calls.clone();
        let first = fd.on_readable(move |_| counter.update(|it| (it.0 + 1, it.1)));
        let counter = calls.clone();
        let second = fd.on_readable(move |mut it| {
            counter.update(|it| (it.0, it.1 + 1));
            drop(it.read(&mut [0; 8]));
        });
        assert!(first.is_removed());
        assert!(!first.remove());
        theirs.write_all(b"x").unwrap();
        a_moment().await;
        assert_eq!(calls.get(), (0, 1));
        assert!(fd.remove_readable());
        assert!(second.is_removed() && !second.remove());
        assert!(!fd.remove_readable());
    });
}

// §15
#[test]
fn reading_and_writing_have_a_callback_each() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        let fd = Rc::new(ours);
        let reads = Rc::new(Cell::new(0));
        let writes = Rc::new(Cell::new(0));
        let counter = reads.clone();
        let reading = fd.on_readable(move |mut it| {
            counter.update(|it| it + 1);
            drop(it.read(&mut [0; 8]));
        });
        let counter = writes.clone();
        let _writing = fd.on_writable(move |_| counter.update(|it| it + 1));
        a_moment().await;
        assert_eq!(reads.get(), 0);
        assert!(writes.get() > 1, "as long as there is room");
        assert!(fd.remove_writable());
        let count = writes.get();
        theirs.write_all(b"x").unwrap();
        a_moment().await;
        assert_eq!((reads.get(), writes.get()), (1, count));
        assert!(reading.remove());
    });
}

#[test]
fn a_callback_may_remove_or_replace_itself() {
    tulipa::run(async {
        let (ours, _theirs) = pair();
        let handle = Rc::new(RefCell::new(None));
        let calls = Rc::new(Cell::new(0));
        let (own, counter) = (handle.clone(), calls.clone());
        let kept = on_writable(ours, move |_| {
            counter.update(|it| it + 1);
            let handle: Option<tulipa::net::IoHandle> = own.take();
            assert!(handle.unwrap().remove());
        });
        handle.replace(Some(kept.unwrap()));
        a_moment().await;
        assert_eq!(calls.get(), 1);

        let (ours, _theirs) = watched_pair();
        let fd = Rc::new(ours);
        let calls = Rc::new(Cell::new(0));
        let (inner, counter) = (Rc::downgrade(&fd), calls.clone());
        let first = fd.on_writable(move |_| {
            counter.update(|it| it + 1);
            let counter = counter.clone();
            let fd = inner.upgrade().unwrap();
            drop(fd.on_writable(move |_| counter.update(|it| it + 100)));
        });
        while calls.get() < 301 {
            a_moment().await;
        }
        assert!(first.is_removed());
        assert_eq!(calls.get() % 100, 1);
        assert!(fd.remove_writable());
    });
}

// §15: error conditions wake both directions
#[test]
fn a_hang_up_calls_both() {
    tulipa::run(async {
        let (ours, theirs) = watched_pair();
        let fd = Rc::new(ours);
        let (reads, writes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (read, written) = (reads.clone(), writes.clone());
        drop(fd.on_readable(move |_| read.update(|it| it + 1)));
        // Full, so that only the hang-up makes it writable.
        while fd.get_ref().write(&[0; 4096]).is_ok() {}
        drop(fd.on_writable(move |_| written.update(|it| it + 1)));
        a_moment().await;
        assert_eq!((reads.get(), writes.get()), (0, 0));
        drop(theirs);
        a_moment().await;
        assert!(reads.get() > 1 && writes.get() > 1);
        fd.remove_readable();
        fd.remove_writable();
    });
}

#[test]
fn a_callback_that_panics_is_reported_and_stays() {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let list = heard.clone();
    let runner = Runner::builder()
        .exception_handler(move |it| list.borrow_mut().push((it.kind, it.message.to_owned())))
        .build();
    runner.unwrap().run_and_close(async {
        let (ours, mut theirs) = pair();
        let calls = Rc::new(Cell::new(0));
        let counter = calls.clone();
        let handle = on_readable(ours, move |mut it: &UnixStream| {
            drop(it.read(&mut [0; 8]));
            counter.update(|it| it + 1);
            assert!(counter.get() > 1, "the first time");
        });
        theirs.write_all(b"x").unwrap();
        a_moment().await;
        theirs.write_all(b"y").unwrap();
        a_moment().await;
        assert_eq!(calls.get(), 2);
        handle.unwrap().remove();
    });
    let heard = heard.take();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let (kind, message) = &heard[0];
    assert_eq!(*kind, ExceptionKind::CallbackPanicked);
    assert!(
        message.starts_with("on_readable of descriptor "),
        "{message}"
    );
    assert!(message.ends_with("the first time"), "{message}");
}

#[test]
fn the_descriptor_is_kept_until_its_callback_is_removed() {
    tulipa::run(async {
        let (ours, mut theirs) = watched_pair();
        let fd = Rc::new(ours);
        let handle = fd.on_readable(|_| ());
        drop(fd);
        turns(3).await;
        theirs.write_all(b"x").unwrap();
        handle.remove();
        a_moment().await;
        assert_eq!(
            theirs.write(b"y").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

#[test]
fn callbacks_that_are_always_called_leave_room_for_others() {
    tulipa::run(async {
        let (ours, _theirs) = pair();
        let busy = on_writable(ours, |_| ());
        tulipa::sleep(Duration::from_millis(5)).await;
        turns(100).await;
        busy.unwrap().remove();
    });
}
