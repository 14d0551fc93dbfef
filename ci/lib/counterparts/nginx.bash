# nginx as the server of `http_client`, behind `proxy`, and in front of `http_server`.

nginx_configuration() {
  cat <<CONFIGURATION
daemon off;
master_process off;
user root root; # The only one in a namespace.
error_log stderr warn;
pid $scratch/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path $scratch/nginx.body;
  proxy_temp_path $scratch/nginx.proxy;
  fastcgi_temp_path $scratch/nginx.fastcgi;
  uwsgi_temp_path $scratch/nginx.uwsgi;
  scgi_temp_path $scratch/nginx.scgi;
  keepalive_requests 100000;
  server {
    listen 127.0.0.1:8080;
    listen [::1]:8080;
    root $scratch/web;
    # What goes through the filter has no length that is known before.
    location /chunked/ { alias $scratch/web/; ssi on; ssi_types *; }
    location /moved { return 302 /small.txt; }
  }
  upstream ours { server $address; keepalive 4; }
  server {
    listen 127.0.0.1:8081;
    location / {
      proxy_pass http://ours;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
CONFIGURATION
}

# fetch URL FILE: with our client; the head is in $scratch/head.
fetch() {
  ours http_client "$1" >"$2" 2>"$scratch/head" || {
    cat "$scratch/head" >&2
    die "nginx: http_client $1 failed"
  }
}

part_nginx() {
  local web=$scratch/web got=$scratch/got name host server=
  start_ours http_server 127.0.0.1:0 "$web"
  server=${address##*:}
  nginx_configuration >"$scratch/nginx.conf"
  start nginx nginx -c "$scratch/nginx.conf" -e stderr
  await_port nginx 8080
  await_port nginx 8081

  for host in 127.0.0.1 '[::1]' localhost; do
    fetch "http://$host:8080/small.txt" "$got"
    same "$web/small.txt" "$got" "http_client from nginx"
  done
  fetch "http://127.0.0.1:8080/large.bin" "$got"
  same "$web/large.bin" "$got" "http_client from nginx"
  said "http_client fetches a small file over IPv4, IPv6 and by name, and one of $mib MiB"
  for name in small.txt lines.txt; do
    fetch "http://127.0.0.1:8080/chunked/$name" "$got"
    grep -qi '^transfer-encoding: chunked' "$scratch/head" || die "nginx: the answer is not in chunks"
    same "$web/$name" "$got" "http_client from nginx, in chunks"
  done
  said "http_client puts chunks together"
  fetch "http://127.0.0.1:8080/moved" "$got"
  grep -q '^moved to .*/small.txt' "$scratch/head" || die "nginx: http_client does not say where the page is"
  fetch "http://127.0.0.1:8080/no-such-page" "$got"
  grep -q '404 Not Found' "$scratch/head" || die "nginx: http_client does not say that there is no such page"
  said "http_client reports a redirect, and a page that is not there"

  start_ours proxy 127.0.0.1:0 127.0.0.1:8080
  curl -sS --fail -o "$got" "http://$address/large.bin"
  same "$web/large.bin" "$got" "nginx through proxy"
  curl -sS --no-progress-meter --fail -Z --parallel-max 20 -o "$got.#1" "http://$address/lines.txt?[1-50]"
  for name in {1..50}; do
    same "$web/lines.txt" "$got.$name" "nginx through proxy, 20 at a time"
  done
  rm "$got".*
  interrupt proxy
  said "proxy in front of nginx: $mib MiB, and 50 files 20 at a time"

  # The connections that nginx has opened, whether or not they are still there.
  curl -sS --fail -o "$got" "http://127.0.0.1:8081/large.bin"
  same "$web/large.bin" "$got" "http_server behind nginx"
  curl -sS --no-progress-meter --fail -Z --parallel-max 4 -o "$got.#1" "http://127.0.0.1:8081/small.txt?[1-200]"
  for name in {1..200}; do
    same "$web/small.txt" "$got.$name" "http_server behind nginx"
  done
  rm "$got".*
  local connections
  connections=$(ss -Htan "dport = :$server" | wc -l)
  [ "$connections" -ge 1 ] && [ "$connections" -le 8 ] ||
    die "nginx: $connections connections to http_server for 201 requests, 4 at a time"
  said "http_server behind nginx: $mib MiB, and 200 requests over $connections connections"

  terminate nginx
  interrupt http_server
}
