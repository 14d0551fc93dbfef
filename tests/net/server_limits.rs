//! Servers that run out of descriptors. The limit is the process's, so the server runs in a child with a low one, and its
//! clients in this process.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tulipa::net::{Connection, Server, TcpListener, TcpStream};
use tulipa::runtime::{ExceptionKind, Runner};
use tulipa::sync::Event;
use tulipa::time::Instant;
use tulipa::{sleep, spawn, spawn_blocking, timeout};

/// Says that this is the child, and what it does.
const PART: &str = "TULIPA_TEST_LIMITED_SERVER";

async fn echo(mut connection: Connection) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        match connection.read(&mut buf).await? {
            0 => return Ok(()),
            count => connection.write_all(&buf[..count]).await?,
        }
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(usize::MAX, Iterator::count)
}

/// Not a test of its own: the server, in a child.
#[test]
fn the_child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let exhausted = Rc::new(Event::new());
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (list, event) = (Rc::clone(&heard), Rc::clone(&exhausted));
    let mut runner = Runner::builder()
        .exception_handler(move |context| {
            let message = (context.kind, context.to_string());
            list.borrow_mut().push((Instant::now(), message));
            event.set();
        })
        .build()
        .unwrap();
    let before = open_descriptors();
    runner.run(async {
        let builder = Server::builder().bind("127.0.0.1:0").await.unwrap();
        let builder = match &*part {
            "wait" => builder,
            _ => builder.turn_away_when_exhausted(),
        };
        // Of the pool, before there are no descriptors: threads need none, but their stacks do under valgrind.
        let parent_is_done = spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        let server = builder.start(echo).unwrap();
        println!("listening on {}", server.local_addrs()[0]);

        let tried = Rc::new(Cell::new(false));
        let flag = Rc::clone(&tried);
        let event = Rc::clone(&exhausted);
        let addr = server.local_addrs()[0];
        let others = spawn(async move {
            event.wait().await;
            // Everything that needs a descriptor says so.
            let errors = [
                TcpStream::connect(addr).await.map(drop).unwrap_err(),
                TcpListener::bind("127.0.0.1:0")
                    .await
                    .map(drop)
                    .unwrap_err(),
                std::fs::File::open("/dev/null").map(drop).unwrap_err(),
            ];
            for error in errors {
                assert!(error.to_string().contains("Too many open files"), "{error}");
            }
            flag.set(true);
        });
        let report = server.serve_until(parent_is_done).await.unwrap();
        assert!(report.is_graceful(), "{report}");
        if exhausted.is_set() {
            others.await.unwrap();
            assert!(tried.get());
        } else {
            others.abort();
        }
        println!("accepted {}", server.accepted());
    });
    let heard = heard.take();
    for (_, (kind, message)) in &heard {
        assert_eq!(*kind, ExceptionKind::AcceptPaused);
        assert!(message.contains("accept on 127.0.0.1:"), "{message}");
        assert_eq!(
            message.contains("clients turned away: "),
            part == "turn away"
        );
        println!("{message}");
    }
    for pair in heard.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= Duration::from_millis(950), "once a pause: {gap:?}");
    }
    assert_eq!(open_descriptors(), before, "descriptors are back");
}

struct Limited {
    child: Child,
    output: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl Limited {
    fn start(part: &str, descriptors: u32) -> Limited {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$@\""), "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "server_limits::the_child", "--nocapture"])
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let addr = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended");
            if let Some((_, addr)) = line.trim().split_once("listening on ") {
                break addr.parse().unwrap();
            }
        };
        Limited {
            child,
            output,
            addr,
        }
    }

    /// Lets the server end, and returns what it said.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}");
        text
    }
}

async fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut buf = [0; 4];
    stream.read_exact(&mut buf).await
}

// TC05, TC06
#[test]
fn clients_beyond_the_descriptors_wait_and_are_all_served_in_the_end() {
    const CLIENTS: usize = 400;
    let server = Limited::start("wait", 256);
    tulipa::run(async {
        let mut streams = Vec::new();
        for _ in 0..CLIENTS {
            streams.push(TcpStream::connect(server.addr).await.unwrap());
        }
        let mut waiting = Vec::new();
        let mut served = Vec::new();
        for mut stream in streams {
            match timeout(Duration::from_millis(300), ping(&mut stream)).await {
                Ok(result) => {
                    result.unwrap();
                    served.push(stream);
                }
                Err(_) => {
                    waiting.push(stream); // The first of those that wait in the backlog: the others do, too.
                    break;
                }
            }
        }
        assert!(served.len() > 200, "{}", served.len());
        // What is open goes on, during a pause.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1200) {
            for stream in &mut served[..10] {
                ping(stream).await.unwrap();
            }
            sleep(Duration::from_millis(20)).await;
        }
        drop(served.split_off(100));
        let relieved = Instant::now();
        let mut buf = [0; 4];
        let answered = waiting[0].read_exact(&mut buf); // It has asked already.
        timeout(Duration::from_secs(10), answered)
            .await
            .expect("served after the relief")
            .unwrap();
        let took = relieved.elapsed();
        assert!(took <= Duration::from_millis(1200), "{took:?}");
    });
    // Those that were not looked at have been closed with the vector, and were accepted all the same.
    let text = server.end();
    assert!(text.contains(&format!("accepted {CLIENTS}")), "{text}");
    assert!(text.contains("Too many open files"), "{text}");
}

#[test]
fn clients_beyond_the_descriptors_are_turned_away_where_that_is_wished() {
    let server = Limited::start("turn away", 64);
    tulipa::run(async {
        let mut served = Vec::new();
        let mut turned_away = 0;
        for _ in 0..80 {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            let answer = timeout(Duration::from_secs(5), ping(&mut stream)).await;
            match answer.expect("nobody waits for ever") {
                Ok(()) => served.push(stream),
                Err(error) => {
                    let kinds = [
                        ErrorKind::ConnectionReset,
                        ErrorKind::UnexpectedEof,
                        ErrorKind::BrokenPipe,
                    ];
                    assert!(kinds.contains(&error.kind()), "{error}");
                    turned_away += 1;
                    if turned_away == 3 {
                        break; // One a pause, when they come one by one.
                    }
                }
            }
        }
        assert!(served.len() > 30, "{}", served.len());
        assert_eq!(turned_away, 3);
        ping(&mut served[0]).await.unwrap();

        served.truncate(1);
        let mut late = TcpStream::connect(server.addr).await.unwrap();
        let answer = timeout(Duration::from_secs(5), ping(&mut late)).await;
        answer.unwrap().unwrap();
    });
    let text = server.end();
    assert!(text.contains("clients turned away: "), "{text}");
}
