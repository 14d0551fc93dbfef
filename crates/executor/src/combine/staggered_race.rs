//! The first success of attempts that are begun one after the other.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tulipa_base::{Instant, budget};

use super::fair_share;
use crate::timer::Sleep;

/// Begins attempts one after the other until one succeeds.
///
/// The first attempt begins at once. The next begins `delay` after the one before it has begun, or as
/// soon as that one fails; all that have begun go on side by side. The first success ends the race and drops
/// the other attempts. If several succeed in the same poll, the one that began first wins.
///
/// This is how to try several addresses of one host (happy eyeballs). With `Duration::MAX` each attempt
/// begins when the one before it has failed.
///
/// An attempt is taken from the iterator when it begins, so a lazy iterator makes only the futures that
/// are needed: `addresses.iter().map(|addr| connect(addr))`. The attempts are part of the task and may
/// borrow from it. (asyncio's internal `staggered_race` takes functions and makes tasks, for its
/// coroutines cannot be polled in place.)
///
/// Returns the place of the attempt that succeeded, counted from 0, and its value.
///
/// # Errors
/// The errors of all attempts, in the order of the attempts; empty if there were none.
///
/// # Panics
/// When it is polled outside of a loop and has to wait. A panic of an attempt goes through, and drops
/// the others.
///
/// # Cancel safety
/// Dropping it drops all attempts; attempts that lose are dropped where they are.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// # tulipa::run(async {
/// let hosts = ["down", "slow", "fast"];
/// let winner = tulipa::task::staggered_race(
///     hosts.iter().map(|&host| async move {
///         match host {
///             "down" => return Err("unreachable"),
///             "slow" => std::future::pending().await,
///             _ => Ok(host),
///         }
///     }),
///     Duration::from_millis(1),
/// );
/// assert_eq!(winner.await, Ok((2, "fast")));
/// # });
/// ```
///
/// # References
/// RFC 8305, section 5.
#[doc(alias = "happy_eyeballs")]
#[doc(alias = "select_ok")]
#[doc(alias = "any")]
pub fn staggered_race<I, T, E>(attempts: I, delay: Duration) -> StaggeredRace<I::IntoIter, E>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T, E>>,
{
    StaggeredRace {
        attempts: Some(attempts.into_iter()),
        delay,
        begun: Vec::new(),
        errors: Vec::new(),
        next_start: None,
        is_complete: false,
    }
}

pin_project! {
    /// Future of [`staggered_race`].
    ///
    /// # Panics
    /// When it is polled again after it has completed.
    #[must_use = "futures do nothing unless awaited"]
    pub struct StaggeredRace<I, E>
    where
        I: Iterator,
        I::Item: IntoFuture,
    {
        // Those to come; `None` when there are no more.
        attempts: Option<I>,
        delay: Duration,
        // Those that have begun, in order, `None` where they have failed.
        begun: Vec<Option<Attempt<I>>>,
        // The errors of those that have failed, in the same places.
        errors: Vec<Option<E>>,
        // When the next begins, unless the last one fails before.
        #[pin]
        next_start: Option<Sleep>,
        is_complete: bool,
    }
}

type Attempt<I> = Pin<Box<<<I as Iterator>::Item as IntoFuture>::IntoFuture>>;

impl<I, T, E> Future for StaggeredRace<I, E>
where
    I: Iterator,
    I::Item: IntoFuture<Output = Result<T, E>>,
{
    type Output = Result<(usize, T), Vec<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        assert!(
            !*this.is_complete,
            "StaggeredRace polled after it has completed"
        );
        // Those that have begun before this poll, then each that begins in it.
        let mut to_poll = 0;
        loop {
            while let Some(slot) = this.begun.get_mut(to_poll) {
                if let Some(attempt) = slot
                    && let Poll::Ready(result) = fair_share::poll(attempt.as_mut(), cx)
                {
                    *slot = None;
                    match result {
                        Ok(value) => {
                            *this.is_complete = true;
                            this.begun.clear();
                            this.next_start.set(None);
                            return Poll::Ready(Ok((to_poll, value)));
                        }
                        Err(error) => this.errors[to_poll] = Some(error),
                    }
                }
                to_poll += 1;
            }
            let Some(attempts) = this.attempts else {
                break;
            };
            if let Some(Some(_)) = this.begun.last() {
                if this.next_start.is_none() {
                    let start = Instant::now() + *this.delay;
                    this.next_start.set(Some(Sleep::new(start)));
                }
                if let Some(sleep) = this.next_start.as_mut().as_pin_mut()
                    && sleep.poll_as_limit(cx).is_pending()
                {
                    return Poll::Pending;
                }
            }
            // Attempts that fail at once, without an end, must not hold the loop.
            if budget::poll_consume(cx).is_pending() {
                return Poll::Pending;
            }
            this.next_start.set(None);
            match attempts.next() {
                Some(attempt) => {
                    this.begun.push(Some(Box::pin(attempt.into_future())));
                    this.errors.push(None);
                }
                None => *this.attempts = None,
            }
        }
        if this.begun.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        *this.is_complete = true;
        Poll::Ready(Err(this.errors.drain(..).flatten().collect()))
    }
}

impl<I, E> fmt::Debug for StaggeredRace<I, E>
where
    I: Iterator,
    I::Item: IntoFuture,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaggeredRace")
            .field("begun", &self.begun.len())
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}
