//! Options in any order, and a facade that has another name.

#![deny(warnings, clippy::all)]

mod my {
    pub use tulipa as loops;
}

fn main() {
    all();
    assert_eq!(empty(), 0);
    assert_eq!(trailing_comma(), 1);
    assert_eq!(facade(), 2);
    assert_eq!(facade_in_quotes(), 3);
    assert_eq!(absolute_facade(), 4);
    assert_eq!(from_macro(), 5);
    assert_eq!(several_threads(), Err(0));
}

#[tulipa::main(reactor = "mio", start_paused = true, crate = tulipa)]
async fn all() {}

#[tulipa::main(threads = 2, start_paused = true)]
async fn several_threads() -> Result<(), usize> {
    match tulipa::runtime::thread_index() {
        0 => Err(0),
        _ => std::future::pending().await,
    }
}

#[tulipa::main()]
async fn empty() -> u8 {
    0
}

#[rustfmt::skip]
#[tulipa::main(start_paused = false,)]
async fn trailing_comma() -> u8 {
    1
}

#[tulipa::main(crate = my::loops, start_paused = false)]
async fn facade() -> u8 {
    2
}

#[tulipa::main(crate = "crate::my::loops")]
async fn facade_in_quotes() -> u8 {
    3
}

#[tulipa::main(start_paused = true, crate = ::tulipa)]
async fn absolute_facade() -> u8 {
    4
}

macro_rules! with_options {
    ($reactor:literal, $start_paused:expr, $name:ident, $output:ty, $vis:vis, $body:block) => {
        #[tulipa::main(reactor = $reactor, start_paused = $start_paused, crate = $crate::my::loops)]
        $vis async fn $name() -> $output $body
    };
}

with_options!("mio", true, from_macro, u8, pub(crate), { 5 });
