//! Misuse is answered with the remedy. (MU01, MU02, MU03)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::support::poll_once;
use tulipa::net::{TcpListener, TcpStream};
use tulipa::runtime::Runner;
use tulipa::time::Instant;

fn message_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it must panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a panic with a text")).to_owned(),
    }
}

// MU01
#[test]
#[allow(
    clippy::redundant_closure,
    reason = "the closure is the caller that is named"
)]
fn outside_of_a_loop_every_entry_point_names_the_remedy() {
    let messages = [
        message_of(|| drop(tulipa::spawn(async {}))),
        message_of(|| drop(tulipa::task::Builder::new().name("x").spawn(async {}))),
        message_of(|| drop(tulipa::sleep(Duration::ZERO))),
        message_of(|| drop(tulipa::sleep_until(Instant::now()))),
        message_of(|| tulipa::time::pause()),
        message_of(|| tulipa::time::resume()),
    ];
    for message in messages {
        assert!(message.contains("#[tulipa::main]"), "{message}");
        assert!(
            message.contains("tests/api/misuse.rs"),
            "it says where: {message}"
        );
    }
    let message = message_of(|| _ = tulipa::task::id());
    assert!(message.contains("task::try_id()"), "{message}");
}

#[test]
fn outside_of_a_loop_the_try_forms_give_back_what_they_were_given() {
    let rejected = tulipa::try_spawn(async { 3 }).unwrap_err().rejected;
    assert_eq!(tulipa::run(rejected), 3);
    let deadline = Instant::now();
    assert_eq!(
        tulipa::time::try_sleep_until(deadline)
            .unwrap_err()
            .rejected,
        deadline
    );
    assert_eq!(tulipa::task::try_id(), None);
    tulipa::run(async {
        assert_eq!(tulipa::try_spawn(async { 3 }).unwrap().await.unwrap(), 3);
        tulipa::time::try_sleep_until(deadline).unwrap().await;
    });
}

#[test]
fn a_socket_that_has_to_wait_outside_of_a_loop_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let message = message_of(|| {
        let mut accept = Box::pin(listener.accept());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = accept.as_mut().poll(&mut cx);
    });
    assert!(message.contains("#[tulipa::main]"), "{message}");
}

// MU02
#[test]
fn a_loop_inside_a_loop_is_refused_and_the_outer_one_goes_on() {
    tulipa::run(async {
        let message = message_of(|| tulipa::run(async {}));
        assert!(message.contains("await the future instead"), "{message}");
        let task = tulipa::spawn(async { message_of(|| tulipa::run(async {})) });
        assert!(task.await.unwrap().contains("await the future instead"));
        let mut other = Runner::new().unwrap();
        assert!(message_of(|| other.run(async {})).contains("await the future instead"));
        drop(other);
        tulipa::sleep(Duration::from_millis(1)).await;
    });
}

// MU03
#[test]
fn what_belongs_to_one_loop_cannot_be_awaited_in_another() {
    let mut first = Runner::new().unwrap();
    let (mut sleep, mut stream, _peer) = first.run(async {
        let mut sleep = Box::pin(tulipa::sleep(Duration::from_secs(3600)));
        assert!(poll_once(&mut sleep).await.is_pending());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let peer = listener.accept().await.unwrap();
        assert!(
            poll_once(&mut Box::pin(stream.read(&mut [0; 8])))
                .await
                .is_pending()
        );
        (sleep, stream, peer)
    });
    let message = message_of(|| tulipa::run(sleep.as_mut()));
    assert!(message.contains("in another loop"), "{message}");
    let message = message_of(|| drop(tulipa::run(stream.read(&mut [0; 8]))));
    assert!(message.contains("another event loop"), "{message}");
    drop(first);
    // Once its loop is closed, a socket says that.
    let error = tulipa::run(stream.read(&mut [0; 8])).unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

#[test]
fn an_unknown_reactor_is_an_error_that_lists_the_names() {
    let error = Runner::builder().reactor("kpoll").build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let message = error.to_string();
    assert!(
        message.contains("'kpoll'") && message.contains("mio"),
        "{message}"
    );
}
