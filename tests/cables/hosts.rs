//! Two hosts with a cable between them: namespaces that `ci/cables` has made, and names in the environment.
//!
//! The main thread is in the near one, and so are the threads that it starts; a second loop on a thread of its own is in the far one.
//! Both have the device `cable`, with the addresses below.

use std::fs::File;
use std::future::{Future, pending};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tulipa::net::TcpStream;
use tulipa::runtime::{EventLoop, RemoteHandle, RemoteTask};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Hosts {
    pub(crate) near: Host,
    pub(crate) far: Host,
    far_loop: RemoteHandle,
    programs: PathBuf,
}

/// The far host's address with this last number (2, 3 or 4), and its port 7000.
pub(crate) fn v4(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, number], 7000))
}

pub(crate) fn v6(number: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0x77, 0, 0, 0, 0, number], 7000))
}

/// The same host at the other end of a wire, see [`Hosts::wire`].
pub(crate) fn wire_v4() -> SocketAddr {
    SocketAddr::from(([10, 78, 0, 2], 7000))
}

pub(crate) fn wire_v6() -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0x78, 0, 0, 0, 0, 2], 7000))
}

impl Hosts {
    /// Moves this thread to the near host, and starts a loop on the far one.
    pub(crate) fn enter() -> Hosts {
        let (near, far) = (Host::named_by("CABLES_NEAR"), Host::named_by("CABLES_FAR"));
        near.enter();
        let (sender, receiver) = std::sync::mpsc::channel();
        let there = far.clone();
        thread::spawn(move || {
            there.enter();
            tulipa::run(async move {
                let _ = sender.send(EventLoop::current().remote());
                pending::<()>().await
            })
        });
        Hosts {
            near,
            far,
            far_loop: receiver.recv().expect("the far loop runs"),
            programs: PathBuf::from(variable("CABLES_EXAMPLES")),
        }
    }

    /// Has the hosts find each other at every address, so that the first packet of a scenario is not late.
    pub(crate) async fn meet(&self) {
        for number in 2..=4 {
            for addr in [v4(number), v6(number.into())] {
                let error = within("meeting", TcpStream::connect(addr)).await;
                let error = error.expect_err("nobody listens yet");
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            }
        }
    }

    /// Runs `build`'s future on the far host.
    pub(crate) fn start_far<F, Fut>(&self, build: F) -> RemoteTask<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: Send> + 'static,
    {
        self.far_loop.spawn(build).expect("the far loop runs")
    }

    /// The same, and waits for it.
    pub(crate) async fn on_far<F, Fut>(&self, build: F) -> Fut::Output
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: Send> + 'static,
    {
        within("the far host", self.start_far(build))
            .await
            .expect("it does not panic")
    }

    /// Starts an example on a host, waits until it says on what it listens, and kills it in the end.
    pub(crate) fn start(&self, host: &Host, example: &str, arguments: &[&str]) -> Program {
        let mut command = host.command(&self.programs.join(example).to_string_lossy());
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect(example);
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says something");
        assert!(line.starts_with("listening on"), "{example} says {line:?}");
        Program(child)
    }

    /// Runs an example on the near host, with these lines as its hosts file, to its end; its standard output.
    pub(crate) async fn output_with_names(
        &self,
        example: &str,
        argument: &str,
        hosts: &str,
    ) -> String {
        let program = self.programs.join(example);
        let script = format!(
            "f=$(mktemp); printf '{hosts}' >$f; mount --bind $f /etc/hosts; rm $f; exec {} {argument} 2>/dev/null",
            program.display()
        );
        self.near.sh(&script).await
    }

    /// Lays a second cable, `wire0`, with faults that the example `wire` has. It is there until it is dropped.
    pub(crate) async fn wire(&self, faults: &[&str]) -> Program {
        let mut command = Command::new("python3");
        command.args(["ci/lib/wire.py", &self.near.name, &self.far.name]);
        command.arg(self.programs.join("wire")).args(faults);
        let wire = Program(
            command
                .stdin(Stdio::null())
                .spawn()
                .expect("python3 starts"),
        );
        for (host, number) in [(&self.near, 1), (&self.far, 2)] {
            let script = format!(
                "for i in $(seq 100); do ip link show wire0 >/dev/null 2>&1 && break; sleep 0.1; done
                 ip address add 10.78.0.{number}/24 dev wire0
                 ip address add 2001:db8:78::{number}/64 dev wire0 nodad
                 ip link set wire0 up"
            );
            host.sh(&script).await;
        }
        wire
    }

    /// Cuts the cable at its far end, as if the switch had lost its power.
    pub(crate) async fn cut(&self) {
        self.far.sh("ip link set cable down").await;
    }

    pub(crate) async fn mend(&self) {
        self.far.sh("ip link set cable up").await;
    }

    /// Has each host know the other's hardware address for good.
    pub(crate) async fn introduce(&self) {
        for (host, other, number) in [(&self.near, &self.far, 2), (&self.far, &self.near, 1)] {
            let mac = other.sh("cat /sys/class/net/cable/address").await;
            let script =
                format!("ip neigh replace 10.77.0.{number} lladdr {mac} dev cable nud permanent");
            host.sh(&script).await;
        }
    }
}

#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
}

impl Host {
    pub(crate) fn named_by(name: &str) -> Host {
        Host {
            name: variable(name),
        }
    }

    fn enter(&self) {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("it was made");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("we are root");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, program])
            .stdin(Stdio::null());
        command
    }

    /// What a shell script prints on this host.
    pub(crate) async fn sh(&self, script: &str) -> String {
        let mut command = self.command("sh");
        command.args(["-ec", script]);
        let output = tulipa::spawn_blocking(move || command.output()).await;
        let output = output
            .expect("there are threads")
            .expect("there is a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "on {}: {script}: {errors}",
            self.name
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Filters packets that come in by these rules. They may count into `hits`.
    pub(crate) async fn filter_input(&self, rules: &str) {
        self.filter("input", rules).await;
    }

    pub(crate) async fn filter_output(&self, rules: &str) {
        self.filter("output", rules).await;
    }

    async fn filter(&self, hook: &str, rules: &str) {
        let chain = format!("type filter hook {hook} priority 0; {rules};");
        let table =
            format!("table inet cables {{ counter hits {{ }}; chain {hook} {{ {chain} }}; }}");
        self.sh(&format!("nft -f - <<'END'\n{table}\nEND")).await;
    }

    /// How many packets the filter has counted.
    pub(crate) async fn hits(&self) -> u64 {
        let script = "nft list counter inet cables hits | grep -o 'packets [0-9]*' | cut -d' ' -f2";
        self.sh(script).await.parse().expect("a number")
    }

    /// How many TCP connections are in this state.
    pub(crate) async fn sockets(&self, state: &str) -> usize {
        self.sh(&format!("ss -Htan state {state}"))
            .await
            .lines()
            .count()
    }
}

/// A process, killed when it is dropped.
pub(crate) struct Program(Child);

impl Program {
    /// A line such as `VmRSS` of its status, in KiB.
    pub(crate) fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("it runs");
        let line = status.lines().find(|it| it.starts_with(line)).expect(line);
        line.split_whitespace()
            .nth(1)
            .and_then(|it| it.parse().ok())
            .expect(line)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What comes of `future`, which must not hang.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tulipa::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// How many descriptors this process has.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .expect("there is /proc")
        .count()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run ci/cables"))
}
