#[tulipa::main(start_paused = true, reactor = "poll", start_paused = false)]
async fn main() {}

#[tulipa::main(start_paused = true reactor = "poll")]
async fn no_comma() {}

#[tulipa::main(start_paused = true,, reactor = "poll")]
async fn two_commas() {}

#[tulipa::test(start_paused = true; reactor = "poll")]
async fn semicolon() {}
