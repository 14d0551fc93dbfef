//! Items that say when they are done.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::queue::unfinished::Unfinished;

/// An item of a queue, which is reported as done when this is dropped, after the item itself.
///
/// # Examples
/// ```
/// use tulipa_sync::Queue;
/// use tulipa_sync::queue::Job;
///
/// # futures_lite::future::block_on(async {
/// let queue = Queue::new();
/// queue.put(String::from("a.html")).await.unwrap();
///
/// let job = queue.get_job().await.unwrap();
/// assert_eq!(job.len(), 6);
/// let (page, unfinished) = Job::into_parts(job);
/// assert_eq!(queue.unfinished(), 1);
/// drop(page);
/// drop(unfinished);
/// assert_eq!(queue.unfinished(), 0);
/// # });
/// ```
#[must_use = "a job that is dropped at once is done at once"]
pub struct Job<'a, T> {
    // Fields are dropped in this order, and the second one even if the first one's destructor panics.
    item: T,
    done: Done<&'a Unfinished>,
}

/// The same as [`Job`], and keeps no reference to the queue, which may end before it does.
#[must_use = "a job that is dropped at once is done at once"]
pub struct OwnedJob<T> {
    item: T,
    done: Done<Rc<Unfinished>>,
}

/// Reports one item as done when it is dropped.
pub(crate) struct Done<U: Deref<Target = Unfinished>>(pub(crate) U);

impl<U: Deref<Target = Unfinished>> Drop for Done<U> {
    #[inline]
    fn drop(&mut self) {
        // There may be nothing unfinished: somebody has reported one too many by hand.
        self.0.finish(1);
    }
}

macro_rules! job {
    ([$($lifetime:lifetime)?] $job:ident, $unfinished:ty) => {
        impl<$($lifetime,)? T> $job<$($lifetime,)? T> {
            #[inline]
            pub(crate) fn new(item: T, unfinished: $unfinished) -> Self {
                let done = Done(unfinished);
                $job { item, done }
            }

            /// The item, which is reported as done now. To work with it first, see
            #[doc = concat!("[`into_parts`](", stringify!($job), "::into_parts).")]
            #[inline]
            pub fn into_inner(job: Self) -> T {
                job.item
            }

            /// The item, and a job without it, which is still unfinished.
            #[inline]
            pub fn into_parts(job: Self) -> (T, $job<$($lifetime,)? ()>) {
                let $job { item, done } = job;
                (item, $job { item: (), done })
            }
        }

        impl<$($lifetime,)? T> Deref for $job<$($lifetime,)? T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                &self.item
            }
        }

        impl<$($lifetime,)? T> DerefMut for $job<$($lifetime,)? T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                &mut self.item
            }
        }

        impl<$($lifetime,)? T: fmt::Debug> fmt::Debug for $job<$($lifetime,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($job)).field(&self.item).finish()
            }
        }
    };
}

job!(['a] Job, &'a Unfinished);
job!([] OwnedJob, Rc<Unfinished>);
