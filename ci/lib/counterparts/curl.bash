# curl, ab and hostile Python clients against `http_server`.

load() {
  local count=$1 out=$scratch/ab.out
  shift
  timeout 300 ab -q -n "$count" -c 50 "$@" "http://$address/small.txt" >"$out" 2>&1 || {
    cat "$out" >&2
    die "curl: ab failed"
  }
  grep -q "^Complete requests: *$count\$" "$out" && grep -q '^Failed requests: *0$' "$out" &&
    ! grep -q 'Non-2xx' "$out" || {
    cat "$out" >&2
    die "curl: requests have failed"
  }
  rate=$(awk '/^Requests per second/ { print int($4) }' "$out")
}

part_curl() {
  local web=$scratch/web got=$scratch/got before connects kept rate large_header one
  start_ours http_server 127.0.0.1:0 "$web"
  before=$(descriptors http_server)

  curl -sS --fail -o "$got" "http://$address/large.bin"
  same "$web/large.bin" "$got" "GET"
  curl -sS --fail --head "http://$address/large.bin" | tr -d '\r' >"$got"
  grep -qi "^content-length: $(stat -c %s "$web/large.bin")\$" "$got" || die "curl: HEAD does not tell the length"
  said "GET of $mib MiB, and HEAD"

  connects=$(curl -sS --fail -o "$got.#1" -w '%{num_connects}\n' "http://$address/small.txt?[1-100]" |
    awk '{ sum += $1 } END { print sum }')
  [ "$connects" = 1 ] || die "curl: $connects connections for 100 requests"
  for one in {1..100}; do
    same "$web/small.txt" "$got.$one" "one of 100 requests"
  done
  rm "$got".*
  # HEAD and GET by turns: whoever sends a body for HEAD is out of step.
  connects=$(curl -sS --head -o /dev/null -w '%{num_connects}\n' "http://$address/small.txt" --next \
    -sS -o "$got" -w '%{num_connects}\n' "http://$address/small.txt" | awk '{ sum += $1 } END { print sum }')
  [ "$connects" = 1 ] || die "curl: $connects connections for HEAD and GET"
  same "$web/small.txt" "$got" "GET after HEAD"
  connects=$(curl -sS --http1.0 -o /dev/null -o /dev/null -w '%{num_connects}\n' \
    "http://$address/small.txt" "http://$address/small.txt" | awk '{ sum += $1 } END { print sum }')
  [ "$connects" = 2 ] || die "curl: $connects connections for two requests of HTTP/1.0"
  said "100 requests over one connection, HEAD and GET over one, HTTP/1.0 over one each"

  status_is 404 "http://$address/no-such-page"
  status_is 404 --path-as-is "http://$address/../nginx.conf"
  status_is 405 -X DELETE "http://$address/small.txt"
  head -c 1M /dev/zero >"$got"
  status_is 405 -H 'Expect:' --data-binary "@$got" "http://$address/small.txt"
  status_is 200 -X GET -d 'a body' "http://$address/small.txt"
  printf -v large_header '%*s' 60000 ''
  status_is 431 -H "X-Large: ${large_header// /x}" "http://$address/small.txt"
  status_is 400 -H 'Host:' "http://$address/small.txt"
  said "404, 405 with a body of 1 MiB that is not read, 431 for a header of 60 kB, 400 without a host"

  peer http-odd "$address" "$web"
  peer http-pipelined "$address" "$web/small.txt" 1000
  peer http-slow "$address" "$web"

  peer http-killed "$address" 20
  await_descriptors http_server "$before"
  curl -sS --fail -o "$got" "http://$address/small.txt"
  same "$web/small.txt" "$got" "after clients that were killed"
  said "20 clients killed in mid-transfer: all descriptors are back, and the next client is served"

  load 10000 -k
  kept=$rate
  load "$([ "$length" = full ] && echo 10000 || echo 2000)"
  said "ab: no failure in 10,000 requests over 50 connections ($kept/s), nor with one connection for each ($rate/s)"

  # Ctrl-C in the middle of a transfer: it ends as if nothing were, and who is idle does not count.
  rm -f "$scratch/go"
  start idle "$python" ci/counterparts.py idle "$address"
  await_text idle connected
  start late "$python" ci/counterparts.py http-late "$address" "$web" "$scratch/go"
  await_text late started
  kill -INT "${pids[http_server]}"
  finish idle
  touch "$scratch/go"
  finish late
  gone http_server
  [ "$status" = 130 ] || failed http_server "ended with status $status"
  said "Ctrl-C in mid-transfer: an idle client is closed at once, the transfer is completed, and the server ends"
}

status_is() {
  local wanted=$1 status
  shift
  status=$(curl -sS -o /dev/null -w '%{http_code}' "$@") || die "curl: no answer ($status) for ${*: -1}; $wanted was due"
  [ "$status" = "$wanted" ] || die "curl: $status instead of $wanted for ${*: -1}"
}
