# Python's asyncio on the other side: of our servers, and of our clients.

part_asyncio() {
  local clients=20 datagrams=2000 name how got=$scratch/got
  [ "$length" = short ] || clients=200 datagrams=20000

  start_ours echo_server 127.0.0.1:0
  peer echo-clients tcp "$address" "$clients" "$seed"
  interrupt echo_server
  # The example that takes sockets from a service manager is a Unix echo server, too.
  start unix_echo systemd-socket-activate -l "$scratch/echo.sock" "$examples/socket_activation"
  await_text unix_echo Listening
  peer echo-clients unix "$scratch/echo.sock" "$clients" "$seed"
  interrupt unix_echo
  rm "$scratch/echo.sock"
  start_ours udp_echo serve 127.0.0.1:0
  peer udp-client "$address" "$datagrams" "$seed"
  interrupt udp_echo

  for how in at-once at-end; do
    start tcp_server "$python" ci/counterparts.py echo-server tcp 127.0.0.1:0 "$how"
    await_text tcp_server "listening on "
    address=$(sed -n 's/^listening on //p' "$scratch/tcp_server.out")
    ours echo_client "$address" <"$scratch/web/large.bin" >"$got"
    same "$scratch/web/large.bin" "$got" "echo_client to asyncio over TCP, $how"
    ours echo_client "localhost:${address##*:}" <"$scratch/web/small.txt" >"$got"
    same "$scratch/web/small.txt" "$got" "echo_client to asyncio by name, $how"
    ours echo_client "$address" </dev/null >"$got"
    same /dev/null "$got" "echo_client with nothing to say, $how"
    terminate tcp_server
    start unix_server "$python" ci/counterparts.py echo-server unix "$scratch/echo.sock" "$how"
    await_text unix_server "listening on "
    ours echo_client "$scratch/echo.sock" <"$scratch/web/large.bin" >"$got"
    same "$scratch/web/large.bin" "$got" "echo_client to asyncio over a Unix socket, $how"
    terminate unix_server
    rm -f "$scratch/echo.sock"
  done
  said "echo_client to asyncio, TCP and Unix, $mib MiB: sent back at once, and after a half-close"

  start_server_of_chunks
  for name in small.txt lines.txt; do
    for how in chunks to-the-end; do
      ours http_client "http://$address/$how/$name" >"$got" 2>"$scratch/head" || {
        cat "$scratch/head" >&2
        die "asyncio: http_client failed: $how"
      }
      same "$scratch/web/$name" "$got" "http_client from asyncio, $how"
    done
  done
  if ours http_client "http://$address/short/lines.txt" >"$got" 2>/dev/null; then
    die "asyncio: http_client takes half a body for all of it"
  fi
  terminate chunks
  said "http_client from asyncio: chunks cut at random, with extensions and trailers; an early hint; a body without a length; half a body"

  start udp_server "$python" ci/counterparts.py udp-server
  await_text udp_server "listening on "
  address=$(sed -n 's/^listening on //p' "$scratch/udp_server.out")
  ours udp_echo ping "$address" >"$got"
  grep -qE ', [1-9][0-9]* came back' "$got" || die "asyncio: $(cat "$got")"
  terminate udp_server
  said "udp_echo ping to asyncio: $(cat "$got")"
}

start_server_of_chunks() {
  start chunks "$python" ci/counterparts.py http-chunks "$scratch/web" "$seed"
  await_text chunks "listening on "
  address=$(sed -n 's/^listening on //p' "$scratch/chunks.out")
}
