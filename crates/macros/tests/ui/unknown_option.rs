#[tulipa::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() {}

#[tulipa::main(paused = true, start_paused = true)]
async fn start() {}

#[tulipa::test(flavor = "current_thread", backend::poll)]
async fn answers() {}

#[tulipa::main("poll")]
async fn poll() {}
