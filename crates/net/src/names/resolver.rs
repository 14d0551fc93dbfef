//! Who turns names into addresses.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tulipa_base::Instant;
use tulipa_blocking::BlockingError;
use tulipa_blocking::current::{Lane, current};
use tulipa_executor::context::InContext;
use tulipa_executor::context_local;
use tulipa_executor::debug::{is_debug, slow_callback_duration};
use tulipa_executor::report::{ExceptionKind, report};

/// A look-up under way. See [`Resolver::look_up`].
pub type LookUp<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + 'a>>;

/// Turns names into addresses.
///
/// Functions and closures that are async, take `&str` and `u16`, and return `io::Result<Vec<SocketAddr>>`,
/// are resolvers. Nothing here needs to be `Send`. IP addresses never come to a resolver.
pub trait Resolver {
    /// Looks `host` up. The addresses have `port`, and are in the order in which they should be tried.
    ///
    /// No address at all is no error here: whoever asked makes one of it.
    ///
    /// # Cancel safety
    /// The future is dropped when whoever asked does not wait any more, so it must be made for that.
    fn look_up<'a>(&'a self, host: &'a str, port: u16) -> LookUp<'a>;
}

impl<F> Resolver for F
where
    F: AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>>,
{
    fn look_up<'a>(&'a self, host: &'a str, port: u16) -> LookUp<'a> {
        Box::pin(async move { self(host, port).await })
    }
}

/// The system's resolver, `getaddrinfo`: it knows the hosts file, DNS, and whatever else this machine is
/// set up to ask.
///
/// It blocks, so it runs on threads that each loop has for look-ups alone, at most
/// [so many](https://docs.rs/tulipa/latest/tulipa/runtime/struct.Builder.html#method.max_look_ups) at once.
/// Addresses of both families are asked for together, and come in the system's order, which is that of RFC
/// 6724 and leaves out families this machine has no address of.
///
/// # Hung look-ups
/// Nothing can end a look-up from outside. One that nobody waits for any more goes on to its end, on its
/// thread; if it waits for a thread it is taken off the queue. Neither keeps the loop from closing, nor
/// the process from ending.
///
/// # Debug mode
/// A look-up that takes as long as a slow callback is reported to the loop's exception handler.
///
/// # References
/// getaddrinfo(3), POSIX.1-2024.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn look_up<'a>(&'a self, host: &'a str, port: u16) -> LookUp<'a> {
        Box::pin(system_look_up(host.to_owned(), port))
    }
}

async fn system_look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let Some(pool) = current(Lane::LookUps) else {
        panic!(
            "a name is looked up, but no tulipa event loop runs on this thread: start the program \
             with #[tulipa::main], or look it up inside tulipa::run(..)"
        );
    };
    let name = is_debug().then(|| host.clone());
    let start = Instant::now();
    let job = pool.spawn(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    let result = job.cancel_on_drop().await;
    if let Some(name) = name {
        report_if_slow(&name, start.elapsed());
    }
    match result {
        Ok(result) => result,
        // The system says EAGAIN, whose kind would read as if one should simply wait.
        Err(BlockingError::ThreadSpawn { error, .. }) => Err(io::Error::other(format!(
            "cannot start a thread for it: {error}"
        ))),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// In debug mode a look-up that takes as long as a slow callback is reported. It stops nobody, but whoever
/// wonders where the time has gone would look for it there.
fn report_if_slow(name: &str, took: Duration) {
    if took >= slow_callback_duration() {
        let message = format!("looking up '{name}' took {took:.1?}");
        report(ExceptionKind::Other, &message);
    }
}

context_local! {
    static RESOLVER: Rc<dyn Resolver> = Rc::new(SystemResolver);
}

/// Makes `resolver` the one that the running task uses from now on, and the tasks that it spawns from now
/// on.
///
/// So what `main` sets at its start the whole program uses. [`with_resolver`] sets it for one future, and a
/// [`Connector`](crate::Connector) may have one of its own.
///
/// # Panics
/// Outside of a loop.
pub fn set_resolver(resolver: impl Resolver + 'static) {
    RESOLVER.set(Rc::new(resolver));
}

/// Runs `future` with this resolver, which the tasks that it spawns use as well.
///
/// # Cancel safety
/// That of `future`.
pub fn with_resolver<F: IntoFuture>(
    resolver: impl Resolver + 'static,
    future: F,
) -> InContext<F::IntoFuture> {
    RESOLVER.scope(Rc::new(resolver), future)
}

/// The resolver of the running task.
pub(crate) fn default_resolver() -> Rc<dyn Resolver> {
    RESOLVER.get()
}
