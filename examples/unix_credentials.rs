//! A service behind a Unix socket that tells its clients who they are, and lends them a descriptor if
//! they are its own user.
//!
//! ```text
//! cargo run --example unix_credentials                       # service and client, over a file in /tmp
//! cargo run --example unix_credentials serve /tmp/who.sock   # the service alone, until Ctrl-C
//! cargo run --example unix_credentials ask /tmp/who.sock     # a client
//! ```
//!
//! Try the service with `nc -U /tmp/who.sock`, too, and after `chmod o+w /tmp/who.sock` as another user. The kernel vouches for the
//! answer: nothing that a client sends can change it. (Unix only.)

#[cfg(unix)]
#[tulipa::main]
async fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        [] => unix::both().await,
        ["serve", path] => unix::serve(path).await,
        ["ask", path] => unix::ask(path).await,
        _ => Err(std::io::Error::other(
            "arguments are: [serve PATH | ask PATH]",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unix_credentials: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    println!("there are no Unix sockets here");
}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io::{self, Read};
    use std::os::fd::AsFd;

    use tulipa::net::{UnixListener, UnixStream};

    pub(crate) async fn both() -> io::Result<()> {
        let name = format!("tulipa-who-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let path = path.to_string_lossy();
        let listener = UnixListener::bind(&*path).await?;
        // The service ends with the client. Dropping the listener removes the file.
        tulipa::race!(accept(listener), ask(&path))
    }

    pub(crate) async fn serve(path: &str) -> io::Result<()> {
        // A file that an earlier run left behind, ended by Ctrl-C, is no hindrance.
        let listener = UnixListener::bind(path).await?;
        println!("listening on {path}");
        accept(listener).await
    }

    async fn accept(listener: UnixListener) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            drop(tulipa::spawn(async move {
                if let Err(error) = answer(stream).await {
                    eprintln!("unix_credentials: a client has left: {error}");
                }
            }));
        }
    }

    async fn answer(mut stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        let (uid, gid) = (peer.uid(), peer.gid());
        let process = peer.pid().map_or("unknown".to_owned(), |it| it.to_string());
        let text = format!("you are user {uid}, group {gid}, process {process}\n");

        let file = File::open("/etc/hostname").or_else(|_| File::open("/dev/null"))?;
        let own_uid = UnixStream::pair()?.0.peer_cred()?.uid();
        if uid == own_uid {
            // The client reads with the rights that the service had when it opened the file.
            let sent = stream
                .send_with_fds(text.as_bytes(), &[file.as_fd()])
                .await?;
            stream.write_all(&text.as_bytes()[sent..]).await
        } else {
            stream.write_all(text.as_bytes()).await
        }
    }

    pub(crate) async fn ask(path: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(path).await?;
        let mut buf = [0; 256];
        let received = stream.recv_with_fds(&mut buf, 1).await?;
        print!("{}", String::from_utf8_lossy(&buf[..received.len]));
        for fd in received.fds {
            let mut text = String::new();
            File::from(fd).read_to_string(&mut text)?;
            println!("and here is a file of mine: {:?}", text.trim());
        }
        Ok(())
    }
}
