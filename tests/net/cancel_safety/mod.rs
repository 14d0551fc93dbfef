//! What is lost when a future is dropped where it waits: each method says so under *Cancel safety*, and here is, for each of
//! them, the test that drops it at each of its awaits.
//!
//! - `streams`: reading and writing; `sockets`: binding, connecting, datagrams, any descriptor. Other tests are beside those of
//!   what they test.

mod sockets;
mod streams;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::documentation::{Function, crate_dir, sources};

/// Sources below `crates/net/src`, their public async methods, and the test, in `tests/net`.
#[rustfmt::skip]
const TABLE: &[(&str, &[&str], &str)] = &[
    ("tcp/stream.rs", &["connect"], "cancel_safety/sockets.rs::a_dropped_connect_closes_its_socket"),
    ("tcp/stream.rs", &["read", "read_vectored", "read_exact", "peek", "write", "write_vectored", "write_all", "readable", "writable"], "cancel_safety/streams.rs::tcp_streams_keep_their_promises"),
    ("tcp/listener.rs", &["bind"], "cancel_safety/sockets.rs::a_dropped_bind_leaves_nothing_bound"),
    ("tcp/listener.rs", &["accept"], "cancel_safety/sockets.rs::a_dropped_accept_leaves_the_connection_to_the_next"),
    ("tcp/connector.rs", &["connect"], "connect.rs::connecting_can_be_given_up_at_every_await"),
    ("tcp/socket.rs", &["connect"], "cancel_safety/sockets.rs::a_dropped_connect_closes_its_socket"),
    ("halves.rs", &["read", "read_vectored", "read_exact", "peek", "write", "write_vectored", "write_all"], "cancel_safety/streams.rs::halves_of_tcp_streams_keep_their_promises"),
    ("unix/stream.rs", &["connect", "connect_addr"], "cancel_safety/sockets.rs::a_dropped_connect_to_a_full_backlog_leaves_nothing_in_it"),
    ("unix/stream.rs", &["read", "read_vectored", "read_exact", "peek", "write", "write_vectored", "write_all", "send_with_fds", "recv_with_fds", "readable", "writable"], "cancel_safety/streams.rs::unix_streams_keep_their_promises"),
    ("unix/split.rs", &["recv_with_fds", "send_with_fds"], "cancel_safety/streams.rs::halves_of_unix_streams_keep_their_promises"),
    ("unix/listener.rs", &["bind", "bind_addr"], "cancel_safety/sockets.rs::a_dropped_bind_leaves_no_socket_file"),
    ("unix/listener.rs", &["accept"], "unix_streams.rs::a_dropped_accept_loses_no_connection"),
    ("unix/datagram.rs", &["send", "send_to", "send_to_addr", "recv", "recv_from", "peek", "send_with_fds", "recv_with_fds", "readable", "writable"], "unix_datagrams.rs::dropped_calls_lose_no_datagram"),
    ("udp/socket.rs", &["bind"], "cancel_safety/sockets.rs::a_dropped_bind_leaves_nothing_bound"),
    ("udp/socket.rs", &["connect"], "cancel_safety/sockets.rs::a_dropped_connect_of_datagrams_sends_nothing"),
    ("udp/socket.rs", &["send_to"], "cancel_safety/sockets.rs::a_dropped_send_of_a_datagram_sends_none"),
    ("udp/socket.rs", &["recv", "recv_from", "peek", "recv_many"], "udp.rs::cancelled_receives_lose_no_datagram"),
    ("udp/socket.rs", &["send", "peek_from", "readable", "writable"], "udp.rs::waiting_for_readiness_and_sending_can_be_dropped"),
    ("udp/socket.rs", &["send_many"], "udp.rs::a_send_that_was_dropped_leaves_the_rest_in_the_batch"),
    ("udp/builder.rs", &["bind", "bind_and_connect"], "cancel_safety/sockets.rs::a_dropped_bind_leaves_nothing_bound"),
    ("udp/builder.rs", &["connect"], "cancel_safety/sockets.rs::a_dropped_connect_of_datagrams_sends_nothing"),
    ("names/lookup.rs", &["lookup_host"], "names.rs::a_look_up_can_be_given_up_at_every_stage"),
    ("async_fd/mod.rs", &["readable", "writable", "read_with", "write_with"], "cancel_safety/sockets.rs::a_dropped_wait_of_any_descriptor_leaves_it_as_it_is"),
    ("sock.rs", &["recv", "recv_bytes", "recv_from", "send"], "sock.rs::receiving_can_be_given_up_at_every_await"),
    ("sock.rs", &["accept"], "sock.rs::sockets_accept_and_connect"),
    ("sock.rs", &["send_all"], "cancel_safety/sockets.rs::a_dropped_send_all_has_sent_a_part_from_the_start"),
    ("sock.rs", &["send_to"], "cancel_safety/sockets.rs::a_dropped_send_of_a_datagram_sends_none"),
    ("sock.rs", &["connect"], "cancel_safety/sockets.rs::a_dropped_connect_of_a_bare_socket_goes_on_until_it_is_closed"),
    ("pipe/sender.rs", &["write", "write_vectored", "write_all", "writable"], "cancel_safety/streams.rs::pipes_keep_their_promises"),
    ("pipe/sender.rs", &["closed"], "pipe.rs::a_sender_learns_that_the_receiver_is_gone"),
    ("pipe/receiver.rs", &["read", "read_vectored", "read_exact", "readable"], "cancel_safety/streams.rs::pipes_keep_their_promises"),
    ("server/builder.rs", &["bind"], "cancel_safety/sockets.rs::a_dropped_bind_leaves_nothing_bound"),
    ("server/mod.rs", &["serve", "serve_forever", "serve_until", "wait_closed"], "servers.rs::serving_dropped_at_each_await_leaves_the_server_as_it_is"),
    ("server/mod.rs", &["drain"], "servers.rs::a_dropped_drain_leaves_what_was_done_and_another_takes_it_up"),
    ("server/streams.rs", &["start_server"], "cancel_safety/sockets.rs::a_dropped_bind_leaves_nothing_bound"),
    ("server/streams.rs", &["start_unix_server"], "cancel_safety/sockets.rs::a_dropped_bind_leaves_no_socket_file"),
    ("io/reader/stream_reader.rs", &["read", "read_exact", "read_until", "read_until_any", "read_line", "read_to_end"], "io/reader.rs::reads_that_are_dropped_wherever_they_wait_lose_nothing"),
    ("io/reader/stream_reader.rs", &["peek"], "io/reader.rs::peeking_takes_nothing_dropped_or_not"),
    ("io/reader/lines.rs", &["next"], "io/reader.rs::cancelled_reads_lose_nothing"),
    ("io/send_file.rs", &["send_file"], "io/send_file.rs::a_dropped_call_leaves_the_position_behind_what_was_sent"),
    ("io/connection.rs", &["open_connection"], "cancel_safety/sockets.rs::a_dropped_connect_closes_its_socket"),
    ("io/connection.rs", &["open_unix_connection"], "cancel_safety/sockets.rs::a_dropped_connect_to_a_full_backlog_leaves_nothing_in_it"),
    ("io/copy/bidirectional.rs", &["copy_bidirectional"], "io/copy.rs::a_copy_that_waits_for_both_readers_loses_nothing_when_it_is_dropped"),
    ("io/copy/mod.rs", &["copy"], "io/copy.rs::a_copy_dropped_while_it_waits_for_the_reader_has_lost_nothing"),
    ("io/writer/stream_writer.rs", &["drain", "flush", "wait_closed"], "io/writer.rs::a_drain_that_is_dropped_leaves_the_others_and_the_bytes"),
    ("io/writer/stream_writer.rs", &["into_inner"], "io/writer.rs::the_stream_is_given_back_when_everything_is_sent"),
];

#[test]
fn each_async_method_is_in_the_table_and_its_test_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(crate_dir) = crate_dir() else { return };
    let mut wrong = Vec::new();
    let mut listed = BTreeSet::new();
    for &(file, methods, test) in TABLE {
        let (module, name) = test.split_once("::").unwrap();
        let test_file = fs::read_to_string(root.join("tests/net").join(module)).unwrap();
        if !test_file.contains(&format!("fn {name}(")) {
            wrong.push(format!("there is no test {test}"));
        }
        for method in methods {
            if !test_file.contains(&format!("{method}(")) {
                wrong.push(format!("{test} does not call {method}"));
            }
            if !listed.insert((file.to_owned(), (*method).to_owned())) {
                wrong.push(format!("{file}: {method} is there twice"));
            }
        }
    }
    let mut paths = Vec::new();
    sources(&crate_dir, &mut paths);
    let mut there = BTreeSet::new();
    for path in paths {
        let file = path.strip_prefix(&crate_dir).unwrap();
        let file = file.to_str().unwrap().replace('\\', "/");
        let functions = Function::all(&fs::read_to_string(&path).unwrap());
        let methods = functions.into_iter().filter(Function::is_async);
        there.extend(methods.map(|it| (file.clone(), it.name)));
    }
    for (file, method) in there.difference(&listed) {
        wrong.push(format!("{file}: {method} has no test in the table"));
    }
    for (file, method) in listed.difference(&there) {
        wrong.push(format!("{file}: there is no {method}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(there.len() > 90, "{}", there.len());
}
