struct Service {
    name: String,
}

impl Service {
    #[tulipa::main]
    async fn serve(&self) {
        println!("{}", self.name);
    }

    #[tulipa::main]
    async fn stop(mut self: Box<Self>, hard: bool) -> String {
        self.name
            .push_str(if hard { "stopped" } else { "stopping" });
        self.name
    }
}

fn main() {
    let service = Service {
        name: String::new(),
    };
    service.serve();
    Box::new(service).stop(true);
}
