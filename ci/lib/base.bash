# What the scripts of ci/ share. Sourced, never run: it goes to the root of the repository.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Ends the script with a message.
die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# One line saying what is not done here, and why.
skip() {
  echo "SKIPPED $(basename "$0"): $*"
}

# need COMMAND PACKAGE: installs Debian's package if the command is missing.
need() {
  command -v "$1" >/dev/null && return 0
  command -v apt-get >/dev/null || die "'$1' is missing, and there is no apt-get to install it"
  install_packages "$2"
  command -v "$1" >/dev/null || die "the package '$2' did not bring '$1'"
}

install_packages() {
  local log sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  echo "installing $*"
  log=$(mktemp)
  {
    "${sudo[@]}" apt-get update -qq &&
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@"
  } >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    die "apt-get could not install: $*"
  }
  rm -f "$log"
}

# Prints the path of a test or example that cargo has built:
#   built_executable api --test api
built_executable() {
  local name=$1
  shift
  cargo test --no-run --message-format=json "$@" 2>/dev/null | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line) if line.startswith("{") else {}
    if message.get("executable") and message["target"]["name"] == sys.argv[1]:
        print(message["executable"])
' "$name"
}
