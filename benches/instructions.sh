#!/bin/sh
# Counts user-space instructions per operation and per echoed message, under callgrind, for tulipa
# and its peers, and prints one table. Needs valgrind. Takes about ten minutes.
#
#   benches/instructions.sh                                    everything
#   benches/instructions.sh --filter tasks                     the cases whose name contains "tasks"
#   benches/instructions.sh --runtimes tulipa,tokio-localset   these contenders
#
# Runtimes that cannot start here, or do not run under callgrind, are skipped with a line.
set -eu
cd "$(dirname "$0")"
exec cargo bench --bench compare -- --instructions "$@"
