//! tulipa inside tokio: tokio waits for tulipa's descriptor, and gives it turns.
//!
//! ```text
//! cd examples/embed_tokio && cargo run
//! ```
//!
//! Both run on one thread. Code for tokio and code for tulipa live beside one another, and talk by whatever
//! wakes: here by a oneshot channel of tokio's, awaited in tulipa, and a promise of tulipa's, awaited in tokio.
//! It ends by itself in less than a second.

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    host::main().await
}

#[cfg(not(unix))]
fn main() {
    println!("embed_tokio: there is no descriptor to wait for on this system");
}

#[cfg(unix)]
mod host {
    use std::io;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tulipa::runtime::{EventLoop, Promise, Turn};

    pub(crate) async fn main() -> io::Result<()> {
        // Not every reactor has a descriptor: `poll` has none.
        let event_loop = Rc::new(EventLoop::builder().reactor("mio").build()?);
        let start = Instant::now();

        // In tulipa: timers, and an answer for tokio.
        let (question, asked) = tokio::sync::oneshot::channel::<u32>();
        let answer = Promise::new();
        let set = answer.clone();
        drop(event_loop.spawn(async move {
            if let Ok(number) = asked.await {
                println!("tulipa: asked about {number}");
                tulipa::sleep(Duration::from_millis(100)).await;
                set.set(number * 7).expect("set once");
            }
        }));
        event_loop.call_later(Duration::from_millis(300), || EventLoop::current().stop());

        // In tokio: a question for tulipa, and a timer. tokio polls it on this thread, where the loop of
        // tulipa is not the current one.
        let asker = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            question.send(6).expect("tulipa waits");
            let answer = answer.await.expect("nobody cancels it");
            println!("tokio: the answer is {answer}");
        };

        let host = drive(&event_loop);
        let (wake_ups, ()) = tokio::join!(host, asker);
        println!("tokio: gave {} turns in {:?}", wake_ups?, start.elapsed());
        Ok(())
    }

    /// Gives tulipa's loop turns until it is stopped; returns how many.
    async fn drive(event_loop: &EventLoop) -> io::Result<u32> {
        let fd = event_loop
            .as_fd()
            .ok_or_else(|| io::Error::other("no descriptor"))?;
        // SAFETY: the descriptor is open and the same as long as it is borrowed from the loop, so for longer
        // than the `AsyncFd` lives.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        for turns in 1.. {
            match event_loop.prepare_wait()? {
                Some(Duration::ZERO) => tokio::task::yield_now().await,
                timeout => {
                    tokio::select! {
                        ready = fd.readable() => ready?.clear_ready(),
                        () = sleep(timeout) => {}
                    }
                }
            }
            if event_loop.turn(Some(Duration::ZERO))? == Turn::Stopped {
                return Ok(turns);
            }
        }
        unreachable!("it is stopped some time")
    }

    async fn sleep(timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    }
}
