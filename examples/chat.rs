//! A chat: what one says, all hear. Ctrl-C gives everybody ten seconds to say goodbye, a second one none.
//!
//! ```text
//! cargo run --example chat                      # listens on 127.0.0.1:8000; or give an address
//! nc 127.0.0.1 8000                             # in other terminals: your name first, then lines
//! ```

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tulipa::net::{Connection, OwnedReadHalf, OwnedWriteHalf, Server};
use tulipa::sync::broadcast::{Receiver, RecvError, Sender};
use tulipa::{catch_cancel, race};

/// Longer lines are cut in two: nobody may fill our memory.
const LINE_LIMIT: u64 = 1024;

/// Who is there, and where words go. Tasks of one loop share plain data.
struct Room {
    names: RefCell<BTreeSet<String>>,
    said: Sender<Rc<str>>,
}

#[tulipa::main]
async fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1);
    let addr = addr.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let names = RefCell::default();
    let said = Sender::new(100); // Who is further behind misses some.
    let room = Rc::new(Room { names, said });

    let guests = Rc::clone(&room);
    let server = Server::builder()
        .connection_limit(1000)
        .bind(addr)
        .await?
        .start(async move |connection| chat(&guests, connection).await)?;
    println!("chatting on {:?}; Ctrl-C ends", server.local_addrs());
    if let Err(cancelled) = catch_cancel(server.wait_closed()).await {
        room.say("* the house closes in ten seconds");
        println!("{}", server.drain(Duration::from_secs(10)).await);
        cancelled.resume().await
    }
    server.failure().map_or(Ok(()), Err)
}

async fn chat(room: &Room, connection: Connection) -> io::Result<()> {
    let (reader, mut writer) = connection.into_stream().into_split();
    let mut reader = BufReader::new(reader);
    writer.write_all(b"your name? ").await?;
    let Some(name) = read_line(&mut reader).await? else {
        return Ok(());
    };
    let Some(guest) = Guest::enter(room, name) else {
        return writer.write_all(b"that name is taken\n").await;
    };
    let heard = room.said.subscribe();
    room.say(&format!("* {} joins", guest.name));
    // Both are loops that go on until the guest is gone: neither is dropped in the middle of a line.
    race!(listen(&guest, &mut reader), tell(heard, &mut writer))
}

/// Passes on what the guest says.
async fn listen(guest: &Guest<'_>, reader: &mut BufReader<OwnedReadHalf>) -> io::Result<()> {
    while let Some(line) = read_line(reader).await? {
        guest.room.say(&format!("<{}> {line}", guest.name));
    }
    Ok(())
}

/// Tells the guest what is said.
async fn tell(mut heard: Receiver<Rc<str>>, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    loop {
        let line = match heard.recv().await {
            Ok(line) => format!("{line}\n"),
            Err(RecvError::Lagged(count)) => format!("* you missed {count} lines\n"),
            Err(_) => return Ok(()),
        };
        writer.write_all(line.as_bytes()).await?;
    }
}

/// A guest's name, which is given back at the end, however that comes.
struct Guest<'a> {
    room: &'a Room,
    name: String,
}

impl<'a> Guest<'a> {
    fn enter(room: &'a Room, name: String) -> Option<Guest<'a>> {
        let is_new = !name.is_empty() && room.names.borrow_mut().insert(name.clone());
        is_new.then(|| Guest { room, name })
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.room.names.borrow_mut().remove(&self.name);
        self.room.say(&format!("* {} leaves", self.name));
    }
}

impl Room {
    fn say(&self, line: &str) {
        let _ = writeln!(io::stdout(), "{line}"); // Who closes our output does not end the chat.
        let _ = self.said.send(line.into()); // An error says that nobody is there.
    }
}

async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let count = reader.take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
    let text = String::from_utf8_lossy(&line);
    Ok((count > 0).then(|| text.trim_end().to_owned()))
}
