# Sockets that systemd passes: `systemd-socket-activate` binds them, and starts the example with the first client.

# echoes ADDRESS: socat gets back what it sends there.
echoes() {
  [ "$(echo "to $1" | timeout "$patience" socat -t "$patience" - "$1")" = "to $1" ] || failed activated "does not echo on $1"
}

# passed COUNT PATTERN...: the example has said so of COUNT sockets, in this order.
passed() {
  local count=$1 pattern line=0
  shift
  await_text activated "passed: "
  [ "$(grep -c '^passed: ' "$scratch/activated.out")" = "$count" ] || failed activated "was not passed $count sockets"
  for pattern in "$@"; do
    line=$((line + 1))
    grep '^passed: ' "$scratch/activated.out" | sed -n "${line}p" | grep -qE "$pattern" ||
      failed activated "was not passed '$pattern' as number $line"
  done
}

activate() {
  start activated systemd-socket-activate "$@" "$examples/socket_activation"
  await_text activated Listening
}

part_activation() {
  local path=$scratch/activated.sock

  activate -l 127.0.0.1:7100 --fdname=web
  echoes TCP:127.0.0.1:7100
  echoes TCP:127.0.0.1:7100
  passed 1 '^passed: web: TcpListener'
  interrupt activated
  said "one socket with a name"

  activate -l 127.0.0.1:7101 -l "$path" --fdname=web:control
  echoes "UNIX-CONNECT:$path"
  echoes TCP:127.0.0.1:7101
  passed 2 '^passed: web: TcpListener' '^passed: control: UnixListener'
  interrupt activated
  [ -S "$path" ] || die "activation: the service has removed a file that is not its own"
  rm "$path"
  said "two sockets with names, TCP and Unix; the file stays"

  activate -l 7102
  echoes TCP4:127.0.0.1:7102
  echoes 'TCP6:[::1]:7102'
  passed 1 'TcpListener'
  interrupt activated
  said "a socket for both families, without a name"

  activate --datagram -l 127.0.0.1:7103 -l "$path" --fdname=udp:unix
  peer udp-client 127.0.0.1:7103 500 "$seed"
  peer unix-datagrams "$path" "$scratch/client.sock"
  passed 2 '^passed: udp: Udp' '^passed: unix: UnixDatagram'
  interrupt activated
  rm "$path"
  said "datagram sockets, UDP and Unix"

  activate --accept -l 127.0.0.1:7104
  echoes TCP:127.0.0.1:7104
  echoes TCP:127.0.0.1:7104
  passed 2 'TcpStream' 'TcpStream'
  terminate activated
  said "a process for each connection"

  # In this namespace number 1 is the script itself.
  if LISTEN_PID=1 LISTEN_FDS=1 timeout "$patience" "$examples/socket_activation" 3</dev/null >"$scratch/other" 2>&1; then
    die "activation: sockets for another process were taken"
  fi
  grep -q "no sockets were passed" "$scratch/other" || die "activation: $(cat "$scratch/other")"
  said "what is for another process is left alone"
}
