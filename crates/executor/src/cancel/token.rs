//! A trigger to hand around.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tulipa_base::wait::{self, Kind, Label};

use crate::cancel::CancelReason;
use crate::cancel::scope::{CancelScope, ScopeRun};
use crate::report::{ExceptionKind, contain};

/// A trigger: cancels every scope that was made from it, and every token derived from it.
///
/// Clones are the same trigger. It is for code that neither knows the tasks nor the scopes that it ends: hand
/// a token in, and let that code [`run`](CancelToken::run) what may be ended under it. Once triggered it stays so.
///
/// It stays on its thread; from elsewhere, call it through a remote handle of the loop.
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// use tulipa::cancel::CancelToken;
///
/// # async fn example() {
/// let stop = CancelToken::new();
/// let worker = tulipa::task::spawn({
///     let stop = stop.clone();
///     async move { stop.run(std::future::pending::<()>()).await }
/// });
/// stop.cancel_with("closing time");
/// let error = worker.await.unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "the scope was cancelled: closing time");
/// # }
/// ```
#[derive(Clone, Default)]
#[doc(alias = "CancellationToken")]
pub struct CancelToken {
    shared: Rc<Shared>,
}

/// Yields the scope, unless it was left.
type WeakScope = Box<dyn Fn() -> Option<CancelScope>>;

#[derive(Default)]
struct Shared {
    reason: RefCell<Option<CancelReason>>,
    scopes: RefCell<Vec<WeakScope>>,
    children: RefCell<Vec<Weak<Shared>>>,
    wakers: RefCell<Slab<Waker>>,
}

impl CancelToken {
    /// A token that is not triggered.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// A token that is triggered with this one, and can be triggered alone.
    pub fn child(&self) -> CancelToken {
        let child = CancelToken::new();
        match self.reason() {
            Some(reason) => child.trigger(reason),
            None => {
                let mut children = self.shared.children.borrow_mut();
                let weak = Rc::downgrade(&child.shared);
                push_pruned(&mut children, weak, |child| child.strong_count() > 0);
            }
        }
        child
    }

    /// Triggers it. Further calls do nothing.
    pub fn cancel(&self) {
        self.trigger(CancelReason::Requested);
    }

    /// Triggers it, and says why. Further calls do nothing.
    pub fn cancel_with(&self, reason: impl Into<CancelReason>) {
        self.trigger(reason.into());
    }

    /// Whether it was triggered.
    pub fn is_cancelled(&self) -> bool {
        self.shared.reason.borrow().is_some()
    }

    /// Why it was triggered, if it was.
    pub fn reason(&self) -> Option<CancelReason> {
        self.shared.reason.borrow().clone()
    }

    /// Waits until it is triggered, and yields the reason.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub fn cancelled(&self) -> CancelTokenCancelled {
        CancelTokenCancelled {
            token: self.clone(),
            key: None,
        }
    }

    /// A scope that is cancelled with this token.
    pub fn scope(&self) -> CancelScope {
        let scope = CancelScope::new();
        self.attach(&scope);
        scope
    }

    /// Runs `future` until it is complete, or the token is triggered.
    ///
    /// # Errors
    /// [`ScopeCancelled`](crate::cancel::ScopeCancelled), when it was triggered.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    #[doc(alias = "run_until_cancelled")]
    pub fn run<F: IntoFuture>(&self, future: F) -> ScopeRun<F::IntoFuture> {
        self.scope().run(future)
    }

    pub(crate) fn attach(&self, scope: &CancelScope) {
        if let Some(reason) = self.reason() {
            scope.cancel_with(reason);
            return;
        }
        let mut scopes = self.shared.scopes.borrow_mut();
        push_pruned(&mut scopes, Box::new(scope.downgrade()), |scope| {
            scope().is_some()
        });
    }

    fn trigger(&self, reason: CancelReason) {
        // Not by recursion: a chain of tokens may be long. The children of a token come before its siblings.
        let mut left = vec![Rc::clone(&self.shared)];
        while let Some(shared) = left.pop() {
            shared.trigger_alone(&reason, &mut left);
        }
    }
}

impl Shared {
    /// Triggers this token, and adds its children to `left`.
    fn trigger_alone(&self, reason: &CancelReason, left: &mut Vec<Rc<Shared>>) {
        {
            let mut place = self.reason.borrow_mut();
            if place.is_some() {
                return;
            }
            *place = Some(reason.clone());
        }
        // Each list is taken out first: what is called may be anyone's code.
        for scope in self.scopes.take() {
            if let Some(scope) = scope() {
                scope.cancel_with(reason.clone());
            }
        }
        let children = self.children.take();
        left.extend(children.iter().rev().filter_map(Weak::upgrade));
        for (_, waker) in self.wakers.take() {
            contain(ExceptionKind::WakerPanicked, || waker.wake());
        }
    }
}

/// Adds to a list of things that may be gone. Those are taken out before it grows, and it grows by half at least, so
/// that looking through it is rare.
fn push_pruned<T>(list: &mut Vec<T>, new: T, is_there: impl FnMut(&T) -> bool) {
    if list.len() == list.capacity() {
        let mut is_there = is_there;
        list.retain(|it| is_there(it));
        list.reserve(list.len().max(4));
    }
    list.push(new);
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("reason", &self.shared.reason.borrow())
            .finish_non_exhaustive()
    }
}

/// Future of [`CancelToken::cancelled`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct CancelTokenCancelled {
    token: CancelToken,
    key: Option<usize>,
}

impl Future for CancelTokenCancelled {
    type Output = CancelReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelReason> {
        if let Some(reason) = self.token.reason() {
            return Poll::Ready(reason);
        }
        // Cloning and dropping wakers may be anyone's code, which may trigger the token.
        let waker = cx.waker().clone();
        if let Some(reason) = self.token.reason() {
            return Poll::Ready(reason);
        }
        let shared = Rc::clone(&self.token.shared);
        let before = match self.key {
            Some(key) => Some(mem::replace(&mut shared.wakers.borrow_mut()[key], waker)),
            None => {
                self.key = Some(shared.wakers.borrow_mut().insert(waker));
                None
            }
        };
        drop(before);
        wait::note(Label::new(Kind::Token, 0));
        Poll::Pending
    }
}

impl CancelTokenCancelled {
    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = self.token.shared.wakers.borrow_mut().try_remove(key);
            drop(waker);
        }
    }
}

impl Drop for CancelTokenCancelled {
    fn drop(&mut self) {
        if self.token.is_cancelled() {
            return; // The list is gone, and its keys with it.
        }
        self.leave();
    }
}
