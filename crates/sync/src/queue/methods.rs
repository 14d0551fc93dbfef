//! The methods that all queues have, and their futures.

/// `queue!([declared parameters] [parameters] type, article, store)` for a type with a field `hand_over`.
macro_rules! queue {
    ([$($declared:tt)*] [$($used:tt)*] $queue:ident, $store:ty) => {
        crate::wait_list::has_wait_list!(
            [$($declared)*] $queue<$($used)*>,
            Option<crate::queue::store::Entry<T>>,
            hand_over.getters
        );

        impl<$($declared)*> HasHandOver<T> for $queue<$($used)*> {
            type Store = $store;

            #[inline]
            fn hand_over(&self) -> &HandOver<T, $store> {
                &self.hand_over
            }
        }

        impl<$($declared)*> $queue<$($used)*> {
            /// Gives it a name, for dumps and for `Debug`.
            pub fn named(mut self, name: &str) -> Self {
                self.hand_over.seen.set_name(name);
                self
            }

            /// Puts an item, and waits for room if the queue is full.
            ///
            /// # Errors
            /// [`ShutDown`] with the item when the queue is shut down, before or while this waits.
            ///
            /// # Cancel safety
            /// Dropping the future drops the item. As long as it waits, that was not put, and nothing else is lost. It is put
            /// when there is room, which may be before the future is polled again.
            #[inline]
            pub fn put(&self, item: T) -> Putting<'_, $($used)*> {
                Putting {
                    put: Put::new(&self.hand_over, item),
                }
            }

            /// Puts an item if there is room, and nobody waits for room.
            ///
            /// # Errors
            /// [`TryPutError`] says why it was not put, and returns it.
            #[doc(alias = "put_nowait")]
            #[inline]
            pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
                self.hand_over.try_put(item)
            }

            /// Takes the next item, and waits for one if there is none.
            ///
            /// # Errors
            /// [`ShutDown`] when the queue is shut down, before or while this waits, and nothing is left in it.
            ///
            /// # Cancel safety
            /// Safe. An item that was assigned to the future goes on to the next one who waits, or is in the queue again.
            #[inline]
            pub fn get(&self) -> Getting<'_, $($used)*> {
                Getting {
                    get: Get::new(self),
                }
            }

            /// Takes the next item if there is one, and nobody waits for it.
            ///
            /// # Errors
            /// [`TryGetError`] says why there is none.
            #[doc(alias = "get_nowait")]
            #[inline]
            pub fn try_get(&self) -> Result<T, TryGetError> {
                self.hand_over.try_get()
            }

            /// Takes the next item as a [`Job`], which reports it as [done](Self::task_done) when it is dropped.
            ///
            /// # Errors
            /// [`ShutDown`] when the queue is shut down, before or while this waits, and nothing is left in it.
            ///
            /// # Cancel safety
            /// Safe: see [`get`](Self::get).
            #[inline]
            pub fn get_job(&self) -> GettingJob<'_, $($used)*> {
                GettingJob {
                    get: Get::new(self),
                }
            }

            /// The same, with a future and a job that do not borrow the queue.
            ///
            /// # Errors
            /// [`ShutDown`] when the queue is shut down, before or while this waits, and nothing is left in it.
            ///
            /// # Cancel safety
            /// Safe: see [`get`](Self::get).
            #[inline]
            pub fn get_job_owned(self: &Rc<Self>) -> GettingJobOwned<$($used)*> {
                GettingJobOwned {
                    get: Get::new(self.clone()),
                }
            }

            /// The items as a stream, which takes them out, and ends when the queue is shut down and empty.
            ///
            /// # Cancel safety
            /// Safe: see [`get`](Self::get).
            #[inline]
            pub fn stream(&self) -> Items<'_, $($used)*> {
                Items {
                    get: Get::new(self),
                }
            }

            /// Reports that an item that somebody has got is done. A [`Job`] does that by itself.
            ///
            /// # Errors
            /// [`TooManyTaskDone`] when none is unfinished.
            ///
            /// # Panics
            /// When a waker does, after the others have been woken.
            #[inline]
            pub fn task_done(&self) -> Result<(), TooManyTaskDone> {
                self.hand_over.unfinished.task_done()
            }

            /// How many items were put, and are not reported as done.
            #[inline]
            pub fn unfinished(&self) -> usize {
                self.hand_over.unfinished.count()
            }

            /// Waits until no item is unfinished: each one that was put was got, and reported as [done](Self::task_done).
            ///
            /// If none is, this does not wait. Who waits goes on even if items are put before it runs.
            ///
            /// # Cancel safety
            /// Safe.
            pub fn join(&self) -> Joining<'_> {
                self.hand_over.unfinished.join(&self.hand_over.seen)
            }

            /// How many items are in the queue. Those that are assigned already to somebody who waits are not.
            #[doc(alias = "qsize")]
            #[inline]
            pub fn len(&self) -> usize {
                self.hand_over.len()
            }

            /// Whether no items are in the queue.
            #[doc(alias = "empty")]
            #[inline]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room for another item. Never in a queue without bound.
            #[doc(alias = "full")]
            #[inline]
            pub fn is_full(&self) -> bool {
                self.hand_over.is_full()
            }

            /// For how many items there is room; `None` for as many as there may be.
            #[doc(alias = "maxsize")]
            #[inline]
            pub fn capacity(&self) -> Option<usize> {
                self.hand_over.capacity()
            }

            /// How many wait for an item.
            pub fn waiting_getters(&self) -> usize {
                self.hand_over.waiting_getters()
            }

            /// How many wait for room.
            pub fn waiting_putters(&self) -> usize {
                self.hand_over.waiting_putters()
            }

            /// Nothing can be put any more; what is in the queue can be got.
            ///
            /// Those who wait to put get their items back. Those who wait for an item that will not come are told. For good: a
            /// queue is not opened again.
            ///
            /// # Panics
            /// When a waker does, after the others have been woken.
            pub fn shutdown(&self) {
                self.hand_over.shut_down();
            }

            /// Nothing can be put or got any more. Returns what was in the queue, in the order in which it would have been got.
            ///
            /// Each of those items counts as done. Items that somebody has got, or that were assigned to somebody, are
            /// unfinished until they are reported as [done](Self::task_done), and [`join`](Self::join) waits for them. One that was
            /// assigned to a future that is dropped is dropped with it, and counts as done.
            ///
            /// # Panics
            /// When a waker does, after the others have been woken, or comparing does. The items are dropped then.
            #[must_use = "the items that were in the queue are dropped otherwise"]
            pub fn shutdown_now(&self) -> Vec<T> {
                self.hand_over.shut_down_now()
            }

            /// Whether it was shut down. There may be items in it nevertheless.
            #[inline]
            pub fn is_shut_down(&self) -> bool {
                self.hand_over.is_shut_down()
            }
        }

        impl<$($declared)*> fmt::Debug for $queue<$($used)*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.hand_over
                    .seen
                    .fmt_struct(f)
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("waiting_getters", &self.waiting_getters())
                    .field("waiting_putters", &self.waiting_putters())
                    .field("unfinished", &self.unfinished())
                    .field("joining", &self.hand_over.unfinished.joining())
                    .field("is_shut_down", &self.is_shut_down())
                    .finish_non_exhaustive()
            }
        }

        pin_project! {
            #[doc = concat!("Future of [`", stringify!($queue), "::put`].")]
            ///
            /// # Panics
            /// When it is polled again after it has completed.
            #[must_use = "futures do nothing unless awaited"]
            pub struct Putting<'a, $($declared)*> {
                #[pin]
                put: Put<'a, T, $store>,
            }
        }

        impl<$($declared)*> Future for Putting<'_, $($used)*> {
            type Output = Result<(), ShutDown<T>>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.project().put.poll(cx)
            }
        }

        pin_project! {
            #[doc = concat!("Future of [`", stringify!($queue), "::get`].")]
            ///
            /// # Panics
            /// When it is polled again after it has yielded.
            #[must_use = "futures do nothing unless awaited"]
            pub struct Getting<'a, $($declared)*> {
                #[pin]
                get: Get<T, &'a $queue<$($used)*>>,
            }
        }

        impl<$($declared)*> Future for Getting<'_, $($used)*> {
            type Output = Result<T, ShutDown>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.project().get.poll(cx)
            }
        }

        pin_project! {
            #[doc = concat!("Future of [`", stringify!($queue), "::get_job`].")]
            ///
            /// # Panics
            /// When it is polled again after it has yielded.
            #[must_use = "futures do nothing unless awaited"]
            pub struct GettingJob<'a, $($declared)*> {
                #[pin]
                get: Get<T, &'a $queue<$($used)*>>,
            }
        }

        impl<'a, $($declared)*> Future for GettingJob<'a, $($used)*> {
            type Output = Result<Job<'a, T>, ShutDown>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut get = self.project().get;
                let item = ready!(get.as_mut().poll(cx))?;
                Poll::Ready(Ok(Job::new(item, &get.handle().hand_over.unfinished)))
            }
        }

        pin_project! {
            #[doc = concat!("Future of [`", stringify!($queue), "::get_job_owned`].")]
            ///
            /// # Panics
            /// When it is polled again after it has yielded.
            #[must_use = "futures do nothing unless awaited"]
            pub struct GettingJobOwned<$($declared)*> {
                #[pin]
                get: Get<T, Rc<$queue<$($used)*>>>,
            }
        }

        impl<$($declared)*> Future for GettingJobOwned<$($used)*> {
            type Output = Result<OwnedJob<T>, ShutDown>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut get = self.project().get;
                let item = ready!(get.as_mut().poll(cx))?;
                let unfinished = get.handle().hand_over.unfinished.clone();
                Poll::Ready(Ok(OwnedJob::new(item, unfinished)))
            }
        }

        pin_project! {
            #[doc = concat!("Stream of [`", stringify!($queue), "::stream`].")]
            #[must_use = "streams do nothing unless polled"]
            pub struct Items<'a, $($declared)*> {
                #[pin]
                get: Get<T, &'a $queue<$($used)*>>,
            }
        }

        impl<$($declared)*> Stream for Items<'_, $($used)*> {
            type Item = T;

            #[inline]
            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
                let mut get = self.project().get;
                let item = ready!(get.as_mut().poll(cx));
                let queue = *get.handle();
                get.set(Get::new(queue));
                Poll::Ready(item.ok())
            }
        }

        crate::queue::methods::opaque_debug! {
            [$($declared)*] Putting<'_, $($used)*>, "Putting";
            [$($declared)*] Getting<'_, $($used)*>, "Getting";
            [$($declared)*] GettingJob<'_, $($used)*>, "GettingJob";
            [$($declared)*] GettingJobOwned<$($used)*>, "GettingJobOwned";
            [$($declared)*] Items<'_, $($used)*>, "Items";
        }
    };
}
pub(super) use queue;

macro_rules! opaque_debug {
    ($([$($declared:tt)*] $type:ty, $name:literal;)*) => {
        $(
            impl<$($declared)*> fmt::Debug for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct($name).finish_non_exhaustive()
                }
            }
        )*
    };
}
pub(super) use opaque_debug;
