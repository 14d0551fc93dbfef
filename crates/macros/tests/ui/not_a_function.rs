#[tulipa::main]
pub struct Service {
    pub name: String,
}

#[tulipa::main]
impl Service {}

/// A constant is not a `const fn`.
#[tulipa::test]
pub const ANSWER: u8 = 42;

#[tulipa::test]
mod tests {}

trait Serve {
    #[tulipa::main]
    async fn serve();
}

fn main() {}
