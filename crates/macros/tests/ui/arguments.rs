use std::env;
use std::net::SocketAddr;

#[tulipa::main]
async fn main(arguments: Vec<String>) {
    println!("{arguments:?} {:?}", env::args());
}

#[tulipa::main]
async fn connect(address: SocketAddr, attempts: u32) -> u32 {
    println!("{address}");
    attempts
}

#[tulipa::test]
async fn answers(question: &str) {
    assert_eq!(question, "");
}

fn _caller(address: SocketAddr) -> u32 {
    connect(address, 3)
}
