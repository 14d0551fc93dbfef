# Bulk transfer, as iperf3 does it: the example `bulk` against itself, Python and socat. Both ends count and sum up.

part_bulk() {
  local size=64 there=$scratch/bulk.sock kind where out=$scratch/bulk.out
  [ "$length" = short ] || size=1024

  for kind in tcp unix; do
    where=127.0.0.1:0
    [ "$kind" = tcp ] || where=$there
    start_ours sink:bulk listen "$where" receive
    ours bulk connect "$address" send "$size" >"$out" || failed sink "did not get it"
    grep -q 'has all of it' "$out" || die "bulk: $(cat "$out")"
    said "$kind, we to us: $(head -n 1 "$out")"
    peer bulk-send "$kind" "$address" 64 "$seed"
    "$python" -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 40960)' >"$scratch/pattern"
    socat -u -b 65536 "$scratch/pattern" "$(socat_address "$kind")"
    await_text sink "10485760 bytes, $(crc_of_pattern)"
    interrupt sink
    start_ours source:bulk listen "$where" send "$size"
    ours bulk connect "$address" receive >"$out"
    await_text source 'has all of it'
    said "$kind, we from us: $(head -n 1 "$out")"
    peer bulk-receive "$kind" "$address" >"$out"
    await_text source "$(cat "$out")"
    socat -u -b 65536 "$(socat_address "$kind")" "CREATE:$scratch/got"
    [ "$(stat -c %s "$scratch/got")" = $((size * 1024 * 1024)) ] || die "bulk: socat got $(stat -c %s "$scratch/got") bytes"
    rm "$scratch/got"
    interrupt source
    ! grep -E 'failed|the receiver has [0-9]' "$scratch/source.out" || failed source "was told of a difference"
    said "$kind: the same with Python and socat, each way"
  done
}

socat_address() {
  [ "$1" = tcp ] && echo "TCP:$address" || echo "UNIX-CONNECT:$address"
}

crc_of_pattern() {
  "$python" -c 'import sys, zlib; print("CRC-32 %08x" % zlib.crc32(open(sys.argv[1], "rb").read()))' "$scratch/pattern"
}
