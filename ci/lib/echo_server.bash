# Starting, watching and ending the example `echo_server`. Sourced after base.bash.
#
#   start_server REACTOR [COMMAND...]  sets server_pid, server_addr, server_port; COMMAND goes in
#                                      front of the program (valgrind, for instance)
#   server_descriptors                 prints how many descriptors the server has open
#   stop_server SECONDS                sends it SIGTERM; fails unless it exits with 0 in that time
#
# A server that is still there when the script ends is killed, by its process id.

server_pid=
server_addr=
server_port=
server_program=target/release/examples/echo_server
server_arguments=(127.0.0.1:0)
scratch=$(mktemp -d)

clean_up() {
  if [ -n "$server_pid" ]; then
    kill -KILL "$server_pid" 2>/dev/null || true
    server_pid=
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT

start_server() {
  local reactor=$1 tries line=
  shift
  : >"$scratch/server.out"
  TULIPA_REACTOR=$reactor "$@" "$server_program" "${server_arguments[@]}" >"$scratch/server.out" \
    2>"$scratch/server.err" </dev/null &
  server_pid=$!
  # Its first line names the address.
  for ((tries = 0; tries < 600; tries++)); do
    if read -r line <"$scratch/server.out"; then break; fi
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.05
  done
  server_addr=$(grep -oE '127\.0\.0\.1:[0-9]+' <<<"$line") || server_failed "did not say its address"
  server_port=${server_addr##*:}
}

server_failed() {
  echo "--- the server's standard output" >&2
  head -n 5 "$scratch/server.out" >&2
  echo "--- the server's standard error" >&2
  head -n 60 "$scratch/server.err" >&2
  die "the server $*"
}

server_is_alive() {
  kill -0 "$server_pid" 2>/dev/null
}

server_descriptors() {
  find "/proc/$server_pid/fd" -mindepth 1 -maxdepth 1 -printf x 2>/dev/null | wc -c
}

# Waits until the server has no more descriptors than it had.
wait_for_descriptors() {
  local before=$1 seconds=$2 tries now=
  for ((tries = 0; tries < seconds * 20; tries++)); do
    now=$(server_descriptors)
    [ "$now" = "$before" ] && return 0
    sleep 0.05
  done
  server_failed "has $now descriptors open; it had $before before the clients came"
}

stop_server() {
  local seconds=$1 tries status=0 start=${EPOCHREALTIME/./}
  kill -TERM "$server_pid"
  for ((tries = 0; tries < seconds * 100; tries++)); do
    server_is_alive || break
    sleep 0.01
  done
  server_is_alive && server_failed "was still there $seconds s after SIGTERM"
  wait "$server_pid" || status=$?
  server_pid=
  [ "$status" = 0 ] || server_failed "ended with status $status"
  stopped_ms=$(((${EPOCHREALTIME/./} - start) / 1000))
}
