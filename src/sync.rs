//! Locks, signals, queues and channels, for tasks that share something.
//!
//! Tasks of one loop never run at the same time, so a [`Cell`](std::cell::Cell) or a [`RefCell`](std::cell::RefCell) is enough for what is read and
//! written between two awaits. What is here is for the rest: for what must stay as it is across an `await`, and for waiting until
//! another task has done something. It costs no atomic step, and nothing is allocated to wait.
//!
//! | to | use |
//! |---|---|
//! | have something for oneself, across awaits | [`Lock`]; [`RwLock`], if most only read |
//! | let so many in at a time, or so many a second | [`Semaphore`] |
//! | wait until something has happened | [`Event`]; [`Latch`], for several things; [`Notify`], for one waiter at a time |
//! | wait until what a lock protects is as it should be | [`Condition`] |
//! | go on together | [`Barrier`] |
//! | make something once, when it is first needed | [`OnceCell`] |
//! | hand work to workers, and know when all is done | [`Queue`], [`LifoQueue`], [`PriorityQueue`] |
//! | send messages to one receiver, until all senders are gone | [`mpsc`] |
//! | get one answer | [`oneshot`] |
//! | let others see the latest value, such as a configuration | [`watch`] |
//! | tell everybody everything | [`broadcast`] |
//! | hear from other threads | [`remote::mpsc`], [`remote::oneshot`] |
//!
//! # What they have in common
//! - **Order.** First come, first served. What is released is assigned to the first one who waits at that moment, and nobody who comes later
//!   can take it.
//! - **Cancellation.** A wait that is dropped, by a timeout, `select!` or a request to cancel, gives up its place. What it had been assigned
//!   meanwhile goes on to the next: no permit, item or notification is lost.
//! - **A future that is not polled any more**, and not dropped either, keeps what it was assigned. [`task::dump`](crate::task::dump) shows what every task waits
//!   for, and which task holds it, by the name that `named` gives.
//! - **One thread.** They are `!Send`, but for what is in [`remote`]. They are shared by reference, or in an [`Rc`](std::rc::Rc).
//! - **No poisoning.** A panic releases what was held.
//!
//! They need no loop: any executor can poll them.
//!
//! # Examples
//! Workers: [`Queue`], and `cargo run --example workers`. A rate: [`Semaphore`], and `cargo run --example rate_limit`. A configuration
//! that is read again while the program runs: [`watch`].
//! ```
//! use std::rc::Rc;
//! use tulipa::sync::Lock;
//!
//! # tulipa::run(async {
//! let journal = Rc::new(Lock::new(Vec::new()).named("journal"));
//! let writers: Vec<_> = (1..=3)
//!     .map(|number| {
//!         let journal = journal.clone();
//!         tulipa::spawn(async move {
//!             let mut journal = journal.lock().await;
//!             journal.push(number);
//!             tulipa::yield_now().await; // Nobody else writes meanwhile.
//!             journal.push(number);
//!         })
//!     })
//!     .collect();
//! for writer in writers {
//!     writer.await.unwrap();
//! }
//! assert_eq!(*journal.lock().await, [1, 1, 2, 2, 3, 3]);
//! # });
//! ```

pub use tulipa_sync::*;
