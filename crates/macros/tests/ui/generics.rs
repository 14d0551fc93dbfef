use std::fmt::Display;

#[tulipa::main]
async fn main<T>() {}

#[tulipa::main]
async fn show<T, F: Fn() -> T>() -> Option<T>
where
    T: Display,
{
    None
}

#[tulipa::test]
async fn answers<'a, const N: usize>() {}

fn _caller() -> Option<u8> {
    show::<u8, fn() -> u8>()
}
