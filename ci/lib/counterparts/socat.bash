# socat as client of our servers, and as server of our clients: TCP, Unix and UDP.

# How long it waits for the other direction when one has ended: half a second unless told otherwise.
socat=(socat -b 65536 -t "$patience")

part_socat() {
  local large=$scratch/web/large.bin got=$scratch/got path=$scratch/socat.sock

  start_ours echo_server 127.0.0.1:0
  "${socat[@]}" - "TCP:$address" <"$large" >"$got"
  same "$large" "$got" "socat to echo_server"
  interrupt echo_server
  start unix_echo systemd-socket-activate -l "$path" "$examples/socket_activation"
  await_text unix_echo Listening
  "${socat[@]}" - "UNIX-CONNECT:$path" <"$large" >"$got"
  same "$large" "$got" "socat to a Unix echo server"
  interrupt unix_echo
  rm "$path"
  start_ours udp_echo serve 127.0.0.1:0
  # One line a datagram; whoever sends the next one has the last one back.
  "$python" - "$address" >"$got" <<'LINES'
import subprocess, sys
client = subprocess.Popen(["socat", "-", "UDP:" + sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for number in range(500):
    line = b"datagram %d " % number + b"x" * number + b"\n"
    client.stdin.write(line)
    client.stdin.flush()
    assert client.stdout.readline() == line, number
client.kill()
LINES
  interrupt udp_echo
  said "socat to our servers: $mib MiB there and back over TCP and over a Unix socket, with a half-close; 500 datagrams"

  start listener "${socat[@]}" TCP-LISTEN:7001,fork,reuseaddr EXEC:cat
  await_port listener 7001
  ours echo_client 127.0.0.1:7001 <"$large" >"$got"
  same "$large" "$got" "echo_client to socat"
  terminate listener
  start listener "${socat[@]}" "UNIX-LISTEN:$path,fork" EXEC:cat
  until [ -S "$path" ]; do sleep 0.02; done
  ours echo_client "$path" <"$large" >"$got"
  same "$large" "$got" "echo_client to socat over a Unix socket"
  terminate listener
  rm -f "$path"
  start listener socat UDP4-RECVFROM:7001,fork EXEC:cat
  until [ -n "$(ss -Hlun 'sport = :7001')" ]; do sleep 0.02; done
  ours udp_echo ping 127.0.0.1:7001 >"$got"
  grep -qE ', [1-9][0-9]* came back' "$got" || die "socat: $(cat "$got")"
  terminate listener
  said "our clients to socat: $mib MiB there and back over TCP-LISTEN and UNIX-LISTEN; UDP: $(cat "$got")"

  # A half-close the other way round: the server has nothing more to say, and goes on listening.
  start listener "${socat[@]}" -u "TCP-LISTEN:7002,reuseaddr" "CREATE:$scratch/one-way"
  await_port listener 7002
  ours bulk connect 127.0.0.1:7002 send 8 >"$got"
  finish listener
  grep -q "$(crc_of "$scratch/one-way")" "$got" || die "socat: what has arrived is not what bulk has sent"
  start_ours proxy 127.0.0.1:0 127.0.0.1:7003
  start listener "${socat[@]}" TCP-LISTEN:7003,fork,reuseaddr EXEC:cat
  await_port listener 7003
  "${socat[@]}" - "TCP:$address" <"$large" >"$got"
  same "$large" "$got" "socat through proxy to socat"
  terminate listener
  interrupt proxy
  said "socat through proxy to socat: $mib MiB there and back, with a half-close each way"
}

crc_of() {
  "$python" -c 'import sys, zlib; print("CRC-32 %08x" % zlib.crc32(open(sys.argv[1], "rb").read()))' "$1"
}
