#[tulipa::main(start_paused = "true", reactor = poll)]
async fn main() {}

#[tulipa::main(start_paused = 1 + 1, crate = 7)]
async fn numbers() {}

#[tulipa::main(reactor = b"poll", crate = "no path")]
async fn strings() {}

#[tulipa::main(start_paused, reactor("poll"), crate =)]
async fn missing() {}

#[tulipa::test(crate = true, reactor =, start_paused = yes)]
async fn answers() {}
