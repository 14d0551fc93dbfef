# What the parts of ci/counterparts share. Sourced by it, inside of the namespaces.
#
#   start NAME COMMAND...    runs COMMAND in the background; what it prints is in $scratch/NAME.out
#   start_ours NAME ARGS...  the same for an example of that name, or NAME:EXAMPLE; waits until it listens, and sets `address`
#   await_text NAME TEXT     waits until it has printed TEXT
#   await_port NAME PORT     waits until it listens there
#   interrupt NAME           ends an example with Ctrl-C; it must end in order
#   finish NAME              waits for one that ends by itself, with success
#   terminate NAME           ends a counterpart
#   peer ARGS...             ci/counterparts.py
#   same FILE FILE WHAT      fails unless they are equal
#   said TEXT                prints the line that tells what was shown

examples=$PWD/${CARGO_TARGET_DIR:-target}/debug/examples
[[ ${CARGO_TARGET_DIR:-} != /* ]] || examples=$CARGO_TARGET_DIR/debug/examples
# What is behind `python3` may be a script that looks for it; it is started often.
python=$(python3 -c 'import sys; print(sys.executable)')
scratch=$(mktemp -d)
part=
declare -A pids=()

clean_up() {
  local pid
  disown -a # Nobody needs to read that they were killed.
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 143' TERM INT

# How long anything is waited for, in seconds: far more than it takes.
patience=60

# The files that are fetched and sent.
mkdir "$scratch/web"
seq 1 200 >"$scratch/web/small.txt"
seq 1 300000 >"$scratch/web/lines.txt"
head -c 64M /dev/urandom >"$scratch/web/large.bin"
mib=64

run_part() {
  local start=$SECONDS
  part=$1
  "part_$1"
  [ ${#pids[@]} = 0 ] || die "$part: still running: ${!pids[*]}"
  echo "$part: passed, $((SECONDS - start)) s"
}

said() {
  echo "  $part: $*"
}

failed() {
  local name=$1
  shift
  {
    echo "--- the last lines of $name"
    tail -n 30 "$scratch/$name.out" | cut -c 1-500
  } >&2
  die "$part: $name $* (on ${TULIPA_REACTOR}, seed $seed)"
}

# A shell has Ctrl-C ignored in what it runs in the background.
start() {
  local name=$1
  shift
  : >"$scratch/$name.out"
  env --default-signal=INT "$@" >"$scratch/$name.out" 2>&1 </dev/null &
  pids[$name]=$!
}

start_ours() {
  local name=${1%%:*} example=${1##*:}
  shift
  start "$name" "$examples/$example" "$@"
  await_text "$name" "listening on "
  address=$(sed -n 's/^listening on //p' "$scratch/$name.out" | head -n 1)
}

await_text() {
  local name=$1 text=$2 tries
  for ((tries = 0; tries < patience * 20; tries++)); do
    grep -qF -- "$text" "$scratch/$name.out" && return
    kill -0 "${pids[$name]}" 2>/dev/null || failed "$name" "has ended, and did not print '$text'"
    sleep 0.05
  done
  failed "$name" "did not print '$text'"
}

await_port() {
  local name=$1 port=$2 tries
  for ((tries = 0; tries < patience * 20; tries++)); do
    [ -z "$(ss -Hltn "sport = :$port")" ] || return 0
    kill -0 "${pids[$name]}" 2>/dev/null || failed "$name" "has ended, and did not listen on port $port"
    sleep 0.05
  done
  failed "$name" "does not listen on port $port"
}

# gone NAME: waits until it has ended, and sets `status`.
gone() {
  local name=$1 tries
  for ((tries = 0; tries < patience * 20; tries++)); do
    kill -0 "${pids[$name]}" 2>/dev/null || break
    sleep 0.05
  done
  ! kill -0 "${pids[$name]}" 2>/dev/null || failed "$name" "does not end"
  status=0
  wait "${pids[$name]}" || status=$?
  unset "pids[$name]"
}

interrupt() {
  kill -INT "${pids[$1]}"
  gone "$1"
  # 130 says that it was Ctrl-C; some examples take it for a success.
  [ "$status" = 130 ] || [ "$status" = 0 ] || failed "$1" "ended with status $status after Ctrl-C"
  ! grep -q panicked "$scratch/$1.out" || failed "$1" "has panicked"
}

finish() {
  gone "$1"
  [ "$status" = 0 ] || failed "$1" "ended with status $status"
}

terminate() {
  kill -TERM "${pids[$1]}"
  gone "$1"
}

peer() {
  timeout "$((patience * 3))" "$python" ci/counterparts.py "$@" || die "$part: counterparts.py $1 failed (seed $seed)"
}

ours() {
  local example=$1
  shift
  timeout "$((patience * 3))" "$examples/$example" "$@"
}

same() {
  cmp "$1" "$2" || die "$part: $3: the bytes differ (on $TULIPA_REACTOR)"
}

descriptors() {
  find "/proc/${pids[$1]}/fd" -mindepth 1 -maxdepth 1 -printf x | wc -c
}

# Waits until it has as few descriptors open as before.
await_descriptors() {
  local name=$1 before=$2 now= tries
  for ((tries = 0; tries < patience * 20; tries++)); do
    now=$(descriptors "$name")
    [ "$now" -gt "$before" ] || return 0
    sleep 0.05
  done
  failed "$name" "has $now descriptors open; it had $before before the clients came"
}
