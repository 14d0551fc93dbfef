#[tulipa::main(flavor = "current_thread", start_paused = 1)]
unsafe fn main<T>(arguments: T) {}
