#[tulipa::main]
fn main() {
    println!("no event loop needed");
}

#[tulipa::test]
pub fn answers() -> Result<(), std::io::Error> {
    Ok(())
}
