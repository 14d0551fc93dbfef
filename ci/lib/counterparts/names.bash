# dig against `dns_echo`; the system's resolver with dnsmasq behind it, as `lookup_host` asks it.

# dig_says TEXT ARGS...: in the comments of the answer.
dig_says() {
  local text=$1
  shift
  dig +tries=1 +time="$patience" @127.0.0.1 -p "$port" "$@" >"$scratch/dig.out" || die "names: dig $* failed"
  grep -qF "$text" "$scratch/dig.out" || {
    cat "$scratch/dig.out" >&2
    die "names: no '$text' in what dig $* prints"
  }
}

# looked_up NAME...: the addresses that `dns_lookup` prints, one a line, as `name address`.
looked_up() {
  ours dns_lookup "$@" >"$scratch/names.out"
  sed -E 's/ +[0-9.]+ ms +/ /; s/ \(this machine\)//g' "$scratch/names.out" |
    while read -r name addresses; do
      tr -s ', ' '\n' <<<"$addresses" | sed "s/^/$name /"
    done | sort
}

part_names() {
  local port count number web
  start_ours dns_echo 127.0.0.1:0
  port=${address##*:}
  dig_says "status: NOERROR" 192-0-2-7.example
  [ "$(dig +short +tries=1 @127.0.0.1 -p "$port" 10-1-2-3.a.b.c)" = 10.1.2.3 ] || die "names: dig got no address"
  dig_says "status: NXDOMAIN" no-such-name.example
  dig_says "status: NXDOMAIN" 1-2-3-400.example
  dig_says "status: NOERROR, id" 192-0-2-7.example MX
  dig_says "ANSWER: 0" 192-0-2-7.example MX
  dig_says "ANSWER: 0" 192-0-2-7.example TYPE65399
  dig_says "status: NXDOMAIN" no-such-name.example TYPE65399
  dig_says "status: NOTIMP" +opcode=notify 192-0-2-7.example
  said "dig: an address, no such name, no record of that type, an operation that dns_echo does not know"
  count=1000
  for ((number = 0; number < count; number++)); do
    echo "10-0-$((number / 256))-$((number % 256)).example"
  done >"$scratch/questions"
  dig +short +tries=1 +time="$patience" @127.0.0.1 -p "$port" -f "$scratch/questions" >"$scratch/answers"
  sed 's/\.example$//; s/-/./g' "$scratch/questions" | cmp - "$scratch/answers" || die "names: answers are missing or wrong"
  said "dig: $count questions in a row have the right answers"
  peer dns-garbage "$address" "$([ "$length" = full ] && echo 20000 || echo 2000)" "$seed"

  # Everything that asks the system asks dnsmasq now. What is not in its file it asks dns_echo, or the slow one.
  for ((number = 1; number <= 60; number++)); do
    echo "10.1.0.$number many.test"
  done >"$scratch/hosts"
  cat >>"$scratch/hosts" <<'NAMES'
10.1.1.1 one.test
2001:db8::1 both.test
192.0.2.1 both.test
2001:db8:5::1 silent.test
127.0.0.1 silent.test
127.0.0.2 refused.test
::1 refused.test
127.0.0.1 refused.test
NAMES
  start dns_slow "$python" ci/counterparts.py dns-slow 5300
  await_text dns_slow ready
  # In its debug mode it stays who it is, which is all that a namespace of one user allows.
  start dnsmasq dnsmasq --conf-file=/dev/null --no-daemon --pid-file= --log-facility=- \
    --listen-address=127.0.0.1 --bind-interfaces --no-resolv --no-hosts --addn-hosts="$scratch/hosts" \
    --local=/test/ --server="/example/127.0.0.1#$port" --server=/slow/127.0.0.1#5300 --server=/hang/127.0.0.1#5300
  await_port dnsmasq 53
  echo "nameserver 127.0.0.1" >"$scratch/resolv.conf"
  mount --bind "$scratch/resolv.conf" "$(readlink -f /etc/resolv.conf)"
  echo "hosts: dns" >"$scratch/nsswitch.conf"
  mount --bind "$scratch/nsswitch.conf" /etc/nsswitch.conf

  # The answer with 60 addresses does not fit into a datagram: it comes over TCP.
  looked_up many.test one.test both.test >"$scratch/found"
  sed -nE 's/^(\S+) ((many|one|both)\.test)$/\2 \1/p' "$scratch/hosts" | sort >"$scratch/expected"
  same "$scratch/expected" "$scratch/found" "what dns_lookup finds and what dnsmasq was told"
  said "dns_lookup finds what dnsmasq was told: $(wc -l <"$scratch/expected") addresses of three names, IPv6 among them"
  [ "$(looked_up 192-0-2-9.example)" = "192-0-2-9.example 192.0.2.9" ] || die "names: dns_echo behind dnsmasq is not asked"
  ours dns_lookup no-such-name.test no-such-name.example >"$scratch/names.out"
  [ "$(grep -c 'Name or service not known' "$scratch/names.out")" = 2 ] || {
    cat "$scratch/names.out" >&2
    die "names: a name that does not exist is not reported"
  }
  said "dns_lookup finds what dns_echo says behind dnsmasq, and says that a name does not exist"
  # Slow ones keep nobody waiting: answers come in this order.
  ours dns_lookup never.hang a.slow one.test >"$scratch/names.out"
  sed -E 's/ +[0-9.]+ ms +/ /' "$scratch/names.out" >"$scratch/found"
  printf '%s\n' "one.test 10.1.1.1" "a.slow 192.0.2.77" "never.hang timed out" >"$scratch/expected"
  same "$scratch/expected" "$scratch/found" "names that are slow"
  said "dns_lookup prints names as they come, and gives up on the one that never does"

  # Addresses that lead nowhere: one that comes first swallows every packet, others refuse.
  ip link add silent0 type veth peer name silent1
  ip link set silent0 up
  ip link set silent1 up
  ip -6 addr add 2001:db8:5::2/64 dev silent0 nodad
  ip -6 neigh add 2001:db8:5::1 lladdr 02:00:00:00:00:01 dev silent0
  ours dns_lookup silent.test | grep -qE ' ms +2001:db8:5::1, 127.0.0.1' || die "names: the silent address does not come first"
  start_ours http_server 127.0.0.1:0 "$scratch/web"
  web=${address##*:}
  for number in silent.test refused.test; do
    ours http_client "http://$number:$web/small.txt" >"$scratch/got" 2>"$scratch/head" || {
      cat "$scratch/head" >&2
      die "names: http_client does not reach $number"
    }
    same "$scratch/web/small.txt" "$scratch/got" "$number"
  done
  ip link del silent0
  said "http_client reaches a server by name, past addresses that are silent and that refuse"

  umount /etc/nsswitch.conf
  umount "$(readlink -f /etc/resolv.conf)"
  interrupt http_server
  terminate dnsmasq
  terminate dns_slow
  interrupt dns_echo
}
