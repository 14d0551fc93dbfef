//! Context variables: values that belong to a task, and that what it starts inherits.
//!
//! A [`Context`] is a set of values. Each task has one; it begins as a copy of the one of whoever spawned
//! it, and what the task sets from then on is its own. Callbacks and groups copy it when they are made, too. A copy is a
//! reference count: values are shared until someone sets one.
//!
//! Tasks that have no values, which is most of them, pay nothing.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};

use pin_project_lite::pin_project;

use crate::core;
use crate::task::{Flags, TaskRef};

/// Declares context variables.
///
/// ```text
/// context_local! {
///     pub static NAME: Type = default;   // with a default
///     static OTHER: Type;                // without
///     pub shared static THIRD: Type;     // is also seen by blocking work; the type is Send and Sync
/// }
/// ```
///
/// # Examples
/// ```
/// # use tulipa_executor as tulipa;
/// tulipa::context_local! {
///     /// Who asks.
///     static USER: String = String::from("nobody");
/// }
///
/// async fn handle() -> String {
///     USER.set("alice".into());
///     // A child sees the value as of its spawn; what it sets stays its own.
///     let child = tulipa::task::spawn(async {
///         let inherited = USER.get();
///         USER.set("bob".into());
///         inherited
///     });
///     assert_eq!(child.await.unwrap(), "alice");
///     USER.get() // Still alice.
/// }
/// ```
#[macro_export]
macro_rules! context_local {
    () => {};
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = $default:expr $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::context::ContextLocal<$type> = {
            fn default() -> ::std::option::Option<$type> {
                ::std::option::Option::Some($default)
            }
            $crate::context::ContextLocal::new(stringify!($name), default)
        };
        $($crate::context_local! { $($rest)* })?
    };
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::context::ContextLocal<$type> = {
            fn default() -> ::std::option::Option<$type> {
                ::std::option::Option::None
            }
            $crate::context::ContextLocal::new(stringify!($name), default)
        };
        $($crate::context_local! { $($rest)* })?
    };
    ($(#[$meta:meta])* $vis:vis shared static $name:ident: $type:ty = $default:expr $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::context::SharedContextLocal<$type> = {
            fn default() -> ::std::option::Option<$type> {
                ::std::option::Option::Some($default)
            }
            $crate::context::SharedContextLocal::new(stringify!($name), default)
        };
        $($crate::context_local! { $($rest)* })?
    };
    ($(#[$meta:meta])* $vis:vis shared static $name:ident: $type:ty $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::context::SharedContextLocal<$type> = {
            fn default() -> ::std::option::Option<$type> {
                ::std::option::Option::None
            }
            $crate::context::SharedContextLocal::new(stringify!($name), default)
        };
        $($crate::context_local! { $($rest)* })?
    };
}

/// A set of values of context variables. Cloning it shares the values.
#[derive(Clone, Default)]
#[doc(alias = "contextvars")]
#[doc(alias = "copy_context")]
pub struct Context {
    values: Option<Rc<Vec<Entry>>>,
}

#[derive(Clone)]
struct Entry {
    /// The address of the variable.
    key: usize,
    name: &'static str,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Local(Rc<dyn Any>),
    Shared(Arc<dyn Any + Send + Sync>),
}

impl Value {
    fn as_any(&self) -> &dyn Any {
        match self {
            Value::Local(value) => &**value,
            Value::Shared(value) => &**value,
        }
    }
}

impl Context {
    /// A context without values.
    pub fn empty() -> Context {
        Context::default()
    }

    /// A copy of the context of the running code: the task's, or the loop's outside of tasks. Empty where no loop runs.
    pub fn current() -> Context {
        match place() {
            Some(place) => place.read(Context::clone),
            None => Context::empty(),
        }
    }

    /// Runs `future` in this context: what it sets does not reach the code around.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    pub fn run<F: IntoFuture>(self, future: F) -> InContext<F::IntoFuture> {
        InContext {
            future: future.into_future(),
            context: self,
        }
    }

    /// Calls `f` in this context: what it sets does not reach the code around.
    ///
    /// # Panics
    /// Outside of a loop.
    pub fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        let mut context = self;
        let _swapped = Swapped::new(&mut context);
        f()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_none()
    }

    fn find(&self, key: usize) -> Option<&Value> {
        let values = self.values.as_deref()?;
        values
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// Sets a value, and returns the one before, so that the caller may drop it.
    fn insert(&mut self, entry: Entry) -> Option<Value> {
        let values = Rc::make_mut(self.values.get_or_insert_default());
        match values.iter_mut().find(|it| it.key == entry.key) {
            Some(place) => Some(mem::replace(&mut place.value, entry.value)),
            None => {
                values.push(entry);
                None
            }
        }
    }

    /// The values that may cross threads.
    pub fn shared(&self) -> SharedContext {
        let values = self.values.as_deref().map_or(&[][..], Vec::as_slice);
        let shared = values.iter().filter_map(|entry| match &entry.value {
            Value::Shared(value) => Some((entry.key, Arc::clone(value))),
            Value::Local(_) => None,
        });
        SharedContext {
            values: shared.collect(),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.values.iter().flat_map(|values| values.iter());
        f.debug_set()
            .entries(names.map(|entry| entry.name))
            .finish()
    }
}

/// Where the context of the running code is.
enum Place {
    Task(TaskRef),
    Loop(core::CorePtr),
}

fn place() -> Option<Place> {
    let core = core::current()?;
    match core.get().running.get() {
        // The destructors of what it left: its context is gone.
        Some(task) if task.header().flags.get().has(Flags::COMPLETE) => None,
        Some(task) => Some(Place::Task(task)),
        None if core.get().tree().is_none() => None, // The loop is closed.
        None => Some(Place::Loop(core)),
    }
}

impl Place {
    /// Calls `f`, which runs nobody else's code, with the context.
    fn read<R>(&self, f: impl FnOnce(&Context) -> R) -> R {
        match self {
            Place::Task(task) => task.header().look_at_extras(|extras| match extras {
                Some(extras) => f(&extras.context),
                None => f(&Context::empty()),
            }),
            Place::Loop(core) => f(&core.get().context.borrow()),
        }
    }

    /// Puts another context in place, and returns the one before.
    fn replace(&self, context: Context) -> Context {
        match self {
            Place::Task(task) => task.replace_context(context),
            Place::Loop(core) => core.get().context.replace(context),
        }
    }
}

impl TaskRef {
    /// Puts another context in place, and returns the one before.
    pub(crate) fn replace_context(self, context: Context) -> Context {
        let header = self.header();
        if context.is_empty() {
            header.clear(Flags::CONTEXT);
        } else {
            header.set(Flags::CONTEXT);
        }
        header.with_extras(|extras| mem::replace(&mut extras.context, context))
    }
}

/// A context variable with values for one thread. See [`context_local!`].
#[doc(alias = "ContextVar")]
pub struct ContextLocal<T: 'static> {
    name: &'static str,
    default: fn() -> Option<T>,
}

impl<T: 'static> ContextLocal<T> {
    #[doc(hidden)]
    pub const fn new(name: &'static str, default: fn() -> Option<T>) -> ContextLocal<T> {
        ContextLocal { name, default }
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Sets the value in the running task's context, or in the loop's outside of tasks.
    ///
    /// # Panics
    /// Outside of a loop.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        set(self.key(), self.name, Value::Local(Rc::new(value)));
    }

    /// Calls `f` with the value, or with the default.
    ///
    /// # Panics
    /// Without a value and a default; [`try_with`](ContextLocal::try_with) says so instead.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        with_or_panic(self.key(), self.name, self.default, f)
    }

    /// Calls `f` with the value, or with the default; `None` if there is neither.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Option<R> {
        with(self.key(), self.default, f)
    }

    /// A copy of the value, or the default.
    ///
    /// # Panics
    /// Without a value and a default.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Runs `future` with this value; the code around does not see it.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    pub fn scope<F: IntoFuture>(&'static self, value: T, future: F) -> InContext<F::IntoFuture> {
        let value = Value::Local(Rc::new(value));
        scope(self.key(), self.name, value, future)
    }
}

/// A context variable whose values may cross threads: blocking work sees them as well. See
/// [`context_local!`].
pub struct SharedContextLocal<T: 'static> {
    name: &'static str,
    default: fn() -> Option<T>,
}

impl<T: Send + Sync + 'static> SharedContextLocal<T> {
    #[doc(hidden)]
    pub const fn new(name: &'static str, default: fn() -> Option<T>) -> SharedContextLocal<T> {
        SharedContextLocal { name, default }
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Sets the value in the running task's context, or in the loop's outside of tasks.
    ///
    /// # Panics
    /// Outside of a loop.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        set(self.key(), self.name, Value::Shared(Arc::new(value)));
    }

    /// Calls `f` with the value, or with the default.
    ///
    /// # Panics
    /// Without a value and a default; [`try_with`](SharedContextLocal::try_with) says so instead.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        with_or_panic(self.key(), self.name, self.default, f)
    }

    /// Calls `f` with the value, or with the default; `None` if there is neither.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Option<R> {
        with(self.key(), self.default, f)
    }

    /// A copy of the value, or the default.
    ///
    /// # Panics
    /// Without a value and a default.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Runs `future` with this value; the code around does not see it.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    pub fn scope<F: IntoFuture>(&'static self, value: T, future: F) -> InContext<F::IntoFuture> {
        let value = Value::Shared(Arc::new(value));
        scope(self.key(), self.name, value, future)
    }
}

impl<T> fmt::Debug for ContextLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContextLocal").field(&self.name).finish()
    }
}

impl<T> fmt::Debug for SharedContextLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedContextLocal")
            .field(&self.name)
            .finish()
    }
}

#[track_caller]
fn set(key: usize, name: &'static str, value: Value) {
    let Some(place) = place() else {
        if core::current().is_some() {
            return; // In a destructor, after the end of what had a context.
        }
        core::panic_outside(std::panic::Location::caller())
    };
    let mut context = place.replace(Context::empty());
    let before = context.insert(Entry { key, name, value });
    place.replace(context);
    drop(before); // Anyone's code, which may use context variables.
}

fn with<T: 'static, R>(
    key: usize,
    default: fn() -> Option<T>,
    f: impl FnOnce(&T) -> R,
) -> Option<R> {
    let found = match place() {
        Some(place) => place.read(|context| context.find(key).cloned()),
        None => INSTALLED.with_borrow(|installed| installed.find(key).map(Value::Shared)),
    };
    // `f` is anyone's code, which may set the variable: it gets a reference of its own.
    match found.as_ref().and_then(|it| it.as_any().downcast_ref()) {
        Some(value) => Some(f(value)),
        None => default().as_ref().map(f),
    }
}

#[track_caller]
fn with_or_panic<T: 'static, R>(
    key: usize,
    name: &'static str,
    default: fn() -> Option<T>,
    f: impl FnOnce(&T) -> R,
) -> R {
    match with(key, default, f) {
        Some(result) => result,
        None => panic!(
            "the context variable {name} has no value here: set it in this task or in one around, \
             or declare it with a default"
        ),
    }
}

fn scope<F: IntoFuture>(
    key: usize,
    name: &'static str,
    value: Value,
    future: F,
) -> InContext<F::IntoFuture> {
    let mut context = Context::current();
    context.insert(Entry { key, name, value });
    context.run(future)
}

pin_project! {
    /// Future that runs in a context of its own. See [`Context::run`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct InContext<F> {
        #[pin]
        future: F,
        context: Context,
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _swapped = Swapped::new(this.context);
        this.future.poll(cx)
    }
}

impl<F> fmt::Debug for InContext<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InContext")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// While it lives, a context is that of the running code; it gets back what was set meanwhile.
struct Swapped<'a> {
    context: &'a mut Context,
    around: Option<Context>,
}

impl Swapped<'_> {
    fn new(context: &mut Context) -> Swapped<'_> {
        let around = place().map(|place| place.replace(mem::take(context)));
        Swapped { context, around }
    }
}

impl Drop for Swapped<'_> {
    fn drop(&mut self) {
        if let (Some(place), Some(around)) = (place(), self.around.take()) {
            *self.context = place.replace(around);
        }
    }
}

/// The values of a context that may cross threads. See [`Context::shared`].
#[derive(Clone, Default)]
pub struct SharedContext {
    values: Vec<(usize, Arc<dyn Any + Send + Sync>)>,
}

thread_local! {
    /// What a thread without a loop sees. Without a destructor, so that destructors of other thread-locals may
    /// look; it is empty unless a guard lives.
    static INSTALLED: RefCell<ManuallyDrop<SharedContext>> =
        const { RefCell::new(ManuallyDrop::new(SharedContext { values: Vec::new() })) };
}

/// Makes a thread see `context`, and returns what it saw before.
fn install(context: SharedContext) -> SharedContext {
    ManuallyDrop::into_inner(INSTALLED.replace(ManuallyDrop::new(context)))
}

impl SharedContext {
    fn find(&self, key: usize) -> Option<Arc<dyn Any + Send + Sync>> {
        let found = self.values.iter().find(|(it, _)| *it == key);
        found.map(|(_, value)| Arc::clone(value))
    }

    /// Calls `f`, on a thread without a loop, with these values in place.
    pub fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<SharedContext>);
        impl Drop for Restore {
            fn drop(&mut self) {
                if let Some(before) = self.0.take() {
                    drop(install(before));
                }
            }
        }
        let _restore = Restore(Some(install(self)));
        f()
    }
}

impl fmt::Debug for SharedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedContext")
            .field("values", &self.values.len())
            .finish()
    }
}
