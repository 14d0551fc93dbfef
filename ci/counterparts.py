"""The Python side of ci/counterparts, from the standard library alone. The first argument says what to do:

    http-odd ADDR DIR              requests that are odd or wrong, and the status of each answer
    http-pipelined ADDR FILE N     N requests sent without waiting, and N answers
    http-slow ADDR DIR             clients that send and read slowly, while another is served
    http-killed ADDR N             N times curl, killed in the middle of a transfer
    http-late ADDR DIR GO          a transfer that goes on when the file GO exists
    idle ADDR                      a connection that says nothing, until the server closes it
    http-chunks DIR SEED           an HTTP server that sends files in chunks cut at random; prints its port
    dns-garbage ADDR N SEED        packets that are no questions
    dns-slow PORT                  a DNS server that is slow, or never answers
    echo-clients KIND ADDR N SEED  asyncio clients of an echo server; KIND is tcp or unix
    echo-server KIND ADDR HOW      an asyncio server: HOW is `at-once` or `at-end`, for those that half-close
    udp-client ADDR N SEED         an asyncio client of a UDP echo server
    udp-server                     an asyncio UDP echo server; prints its address
    unix-datagrams PATH OWN        a client of a Unix datagram socket, at the path OWN
    bulk-send KIND ADDR MIB SEED   sends, and compares the receiver's report
    bulk-receive KIND ADDR         receives, and reports

Each exits with 0 if all was as it should be.
"""

import asyncio
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

PATIENCE = 60
MIB = 1024 * 1024


def said(text):
    print(f"  {text}", flush=True)


def parse_address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def connect(kind, address):
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(address)
        return connection
    return socket.create_connection(parse_address(address), timeout=PATIENCE)


def check(condition, message):
    if not condition:
        sys.exit(f"counterparts.py: {message}")


# HTTP.


def read_answer(stream, is_head=False):
    """The status and the body of one answer."""
    status_line = stream.readline()
    check(status_line.startswith(b"HTTP/1.1 "), f"no status line: {status_line[:80]!r}")
    headers = {}
    while (line := stream.readline().rstrip(b"\r\n")) != b"":
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    check(b"date" in headers, "an answer without a date")
    length = int(headers[b"content-length"])
    body = b"" if is_head else stream.read(length)
    check(is_head or len(body) == length, f"{len(body)} bytes of {length}")
    return int(status_line.split()[1]), headers, body


def http_odd(address, directory):
    small = (pathlib.Path(directory) / "small.txt").read_bytes()
    host = b"Host: a\r\n"
    cases = [
        (200, b"GET /small.txt HTTP/1.1\r\n" + host + b"\r\n"),
        (200, b"\r\nGET /small.txt HTTP/1.1\r\n" + host + b"\r\n"),
        (200, b"GET /small.txt HTTP/1.0\r\n\r\n"),
        (200, b"GET /small.txt?a=b HTTP/1.1\r\nhOsT: a\r\n\r\n"),
        (400, b"GET /small.txt HTTP/1.1\r\n\r\n"),
        (400, b"GET /small.txt HTTP/1.1\r\n" + host + host + b"\r\n"),
        (400, b"GET /small.txt HTTP/2.0\r\n" + host + b"\r\n"),
        (400, b"GET  /small.txt  HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        (400, b"GET /small.txt HTTP/1.1\r\nno colon\r\n\r\n"),
        (400, b"GET /small.txt HTTP/1.1\r\n" + host + b"A\x00B: c\r\n\r\n"),
        (404, b"GET /../nginx.conf HTTP/1.1\r\n" + host + b"\r\n"),
        (404, b"GET //etc/passwd HTTP/1.1\r\n" + host + b"\r\n"),
        (404, b"GET / HTTP/1.1\r\n" + host + b"\r\n"),
        (404, b"GET /small.txt%00 HTTP/1.1\r\n" + host + b"\r\n"),
        (405, b"BREW /small.txt HTTP/1.1\r\n" + host + b"\r\n"),
        (431, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + host + b"\r\n"),
        (431, b"GET /small.txt HTTP/1.1\r\n" + b"X: y\r\n" * 10000 + b"\r\n"),
        (431, b"x" * 1000000),
    ]
    for expected, request in cases:
        with connect("tcp", address) as connection:
            connection.sendall(request)
            stream = connection.makefile("rb")
            status, headers, body = read_answer(stream)
            check(status == expected, f"{status} instead of {expected} for {request[:60]!r}")
            check(status != 200 or body == small, f"another body for {request[:60]!r}")
            check((b"allow" in headers) == (status == 405), "405 goes with Allow")
            if headers[b"connection"] == b"close":
                check(stream.read() == b"", "bytes after an answer that says that it is the last")
            else:
                connection.sendall(cases[0][1])
                check(read_answer(stream)[2] == small, "the second answer of a connection")
    # A body that is sent after its head must not be taken for a request.
    with connect("tcp", address) as connection:
        inner = cases[0][1]
        connection.sendall(b"GET /small.txt HTTP/1.1\r\n" + host + b"Content-Length: %d\r\n\r\n" % len(inner) + inner)
        stream = connection.makefile("rb")
        check(read_answer(stream)[0] == 200 and stream.read() == b"", "a body was taken for a request")
    said(f"curl: {len(cases)} odd requests have the right status, and a body is not taken for a request")


def http_pipelined(address, path, count):
    small = pathlib.Path(path).read_bytes()
    name = os.path.basename(path).encode()
    request = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % name
    head = b"HEAD /%s HTTP/1.1\r\nHost: a\r\n\r\n" % name
    with connect("tcp", address) as connection:
        # Answers are read when all is sent: buffers take a part, so it is sent in a thread.
        sending = threading.Thread(target=connection.sendall, args=((request + head) * (int(count) // 2),))
        sending.start()
        stream = connection.makefile("rb")
        for number in range(int(count)):
            status, _, body = read_answer(stream, is_head=number % 2 == 1)
            check(status == 200 and body == (b"" if number % 2 else small), f"answer {number}")
        sending.join()
        # The end of what the client sends ends the connection.
        connection.shutdown(socket.SHUT_WR)
        check(stream.read() == b"", "bytes after the last answer")
    said(f"curl: {count} pipelined requests, GET and HEAD by turns, have their answers in order")


def http_slow(address, directory):
    small = (pathlib.Path(directory) / "small.txt").read_bytes()
    large = (pathlib.Path(directory) / "large.bin").read_bytes()
    slow = connect("tcp", address)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(PATIENCE)
    reader.connect(parse_address(address))
    reader.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    received = b""
    for byte in b"GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n":
        slow.sendall(bytes([byte]))
        received += reader.recv(1000)
        time.sleep(0.02)
        with connect("tcp", address) as other:
            other.sendall(b"GET /small.txt HTTP/1.0\r\n\r\n")
            check(read_answer(other.makefile("rb"))[2] == small, "a client beside slow ones")
    check(read_answer(slow.makefile("rb"))[2] == small, "the answer for a slow client")
    slow.close()
    parts = [received]
    while part := reader.recv(MIB):
        parts.append(part)
    _, _, body = b"".join(parts).partition(b"\r\n\r\n")
    check(body == large, "the answer for a client that reads slowly")
    reader.close()
    # One that sends half a head and no more is told so.
    with connect("tcp", address) as silent:
        silent.sendall(b"GET /small.txt HT")
        check(read_answer(silent.makefile("rb"))[0] == 408, "a client that does not go on")
    said("curl: slow clients have all of their answer, others are served meanwhile, and a silent one gets 408")


def http_killed(address, count):
    command = ["curl", "-sS", "--limit-rate", "10k", f"http://{address}/large.bin"]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(int(count))]
    for client in clients:
        check(len(client.stdout.read(1000)) == 1000, "a client got nothing")
        client.kill()
    for client in clients:
        check(client.wait() == -9, "a client has ended before it was killed")


def http_late(address, directory, go):
    large = (pathlib.Path(directory) / "large.bin").read_bytes()
    with connect("tcp", address) as connection:
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        stream = connection.makefile("rb")
        check(stream.readline().startswith(b"HTTP/1.1 200"), "no answer")
        print("started", flush=True)
        while not os.path.exists(go):
            time.sleep(0.01)
        while stream.readline() != b"\r\n":
            pass
        check(stream.read(len(large)) == large, "the server has cut the transfer off")
        check(stream.read() == b"", "bytes behind the file")


def idle(address):
    with connect("tcp", address) as connection:
        # The answer says that a task has the connection.
        connection.sendall(b"HEAD /small.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        check(read_answer(connection.makefile("rb"), is_head=True)[0] == 200, "no answer")
        print("connected", flush=True)
        check(connection.recv(1) == b"", "bytes for an idle client")


def http_chunks(directory, seed):
    """Chunks with extensions and trailers, heads and chunks torn anywhere; and without a length or chunks."""
    rng = random.Random(int(seed))

    async def serve(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split()[1].decode()
        body = (pathlib.Path(directory) / os.path.basename(path)).read_bytes()
        if path.startswith("/to-the-end/"):
            data = b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\n\r\n" + body
        else:
            pieces = [b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"]
            pieces.append(b"HTTP/1.1 200 OK\r\nTransfer-Encoding:  Chunked \r\nTrailer: x\r\n\r\n")
            start = 0
            while start < len(body):
                size = min(len(body) - start, rng.choice([1, 2, 15, 16, 17, 4096, 70000]))
                extension = rng.choice([b"", b";a=b", b' ;name="value"'])
                pieces.append(b"%X%s\r\n" % (size, extension) + body[start : start + size] + b"\r\n")
                start += size
            pieces.append(b"000\r\nx: y\r\n\r\n")
            data = b"".join(pieces)
        if path.startswith("/short/"):
            data = data[: len(data) // 2]
        start = 0
        while start < len(data):
            size = rng.choice([1, 2, 3, 100, 50000])
            writer.write(data[start : start + size])
            await writer.drain()
            start += size
            if rng.random() < 0.01:
                await asyncio.sleep(0.001)
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())


# DNS.


def query(number, name, kind=1):
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def dns_garbage(address, count, seed):
    rng = random.Random(int(seed))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(parse_address(address))
        answered = 0
        for number in range(1, int(count)):
            good = query(number, b"192-0-2-%d.example" % (number % 256))
            match rng.randrange(6):
                case 0:
                    packet = rng.randbytes(rng.randrange(600))
                case 1:
                    packet = good[: rng.randrange(len(good))]
                case 2:  # One byte is another one.
                    place = rng.randrange(len(good))
                    packet = good[:place] + rng.randbytes(1) + good[place + 1 :]
                case 3:  # A name that points to itself.
                    packet = good[:12] + b"\xc0\x0c" + good[-4:]
                case 4:  # An answer: it must not be answered.
                    packet = good[:2] + bytes([good[2] | 0x80]) + good[3:]
                case 5:  # A name that is too long.
                    packet = query(number, b".".join([b"a" * 63] * rng.randrange(4, 8)))
            # Numbers tell which of the two is answered.
            packet = bytes(byte | 0x80 for byte in packet[:1]) + packet[1:]
            client.send(packet)
            client.send(good)
            while True:
                answer = client.recv(4096)
                check(len(answer) >= 12 and answer[2] & 0x80, f"no answer: {answer!r}")
                if answer[:2] == good[:2]:
                    break
                check(len(packet) >= 12 and answer[:2] == packet[:2], f"an answer to nothing: {answer!r}")
                check(not packet[2] & 0x80, f"an answer to an answer: {packet!r}")
                answered += 1
            address = bytes([192, 0, 2, number % 256])
            check(answer[12 : len(good)] == good[12:] and answer[7] == 1, f"another answer: {answer!r}")
            check(answer[-4:] == address, f"another address: {answer!r}")
    said(f"names: {count} packets of garbage with a question after each: {answered} were told so, all questions are answered")


def dns_slow(port):
    """Names in `slow` have an address after a second, names in `hang` none at all."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, peer):
            name = data[12:].split(b"\0")[0]
            if name.endswith(b"\4slow"):
                asyncio.get_running_loop().call_later(1, self.answer, data, peer)

        def answer(self, data, peer):
            end = data.index(b"\0", 12) + 5
            is_a = data[end - 4 : end - 2] == b"\0\1"
            answer = data[:2] + b"\x84\0\0\1" + bytes([0, is_a]) + b"\0\0\0\0" + data[12:end]
            if is_a:
                answer += b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + bytes([192, 0, 2, 77])
            self.transport.sendto(answer, peer)

    async def main():
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", int(port)))
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


# asyncio.


def open_connection(kind, address):
    if kind == "unix":
        return asyncio.open_unix_connection(address)
    return asyncio.open_connection(*parse_address(address))


def echo_clients(kind, address, count, seed):
    async def client(number):
        rng = random.Random(f"{seed} {number}")
        reader, writer = await open_connection(kind, address)
        data = rng.randbytes(rng.choice([0, 1, 1000, 65536, MIB, 3 * MIB]))

        async def send():
            start = 0
            while start < len(data):
                size = rng.choice([1, 100, 4096, 65536, 500000])
                writer.write(data[start : start + size])
                start += size
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        received = await reader.read()
        await sending
        check(received == data, f"client {number}: {len(received)} bytes came back of {len(data)}")
        writer.close()
        await writer.wait_closed()
        return len(data)

    async def main():
        return sum(await asyncio.gather(*map(client, range(int(count)))))

    total = asyncio.run(asyncio.wait_for(main(), PATIENCE * 2))
    said(f"asyncio: {count} {kind} clients, {total // MIB} MiB: each half-closes, and all of it comes back")


def echo_server(kind, address, how):
    async def serve(reader, writer):
        if how == "at-end":
            writer.write(await reader.read())
        else:
            while data := await reader.read(50000):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def main():
        if kind == "unix":
            server = await asyncio.start_unix_server(serve, address)
            print(f"listening on {address}", flush=True)
        else:
            server = await asyncio.start_server(serve, *parse_address(address))
            print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())


def udp_client(address, count, seed):
    """A window of datagrams, each with its number, of any length up to what `udp_echo` takes."""
    rng = random.Random(int(seed))
    under_way = {}

    class Client(asyncio.DatagramProtocol):
        def __init__(self):
            self.arrived = asyncio.Queue()

        def datagram_received(self, data, peer):
            self.arrived.put_nowait(data)

        def error_received(self, error):
            sys.exit(f"counterparts.py: {error}")

    async def main():
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=parse_address(address))
        for number in range(int(count)):
            data = struct.pack(">I", number) + rng.randbytes(rng.choice([0, 1, 100, 1400, 2044]))
            under_way[data] = number
            transport.sendto(data)
            if len(under_way) == 16 or number + 1 == int(count):
                while under_way:
                    data = await asyncio.wait_for(client.arrived.get(), PATIENCE)
                    check(data in under_way, f"a datagram that was not sent: {data[:20]!r}, {len(data)} bytes")
                    del under_way[data]
        transport.close()

    asyncio.run(main())
    # asyncio does not send what is empty, which is a datagram all the same.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(parse_address(address))
        client.send(b"")
        check(client.recv(10) == b"", "an empty datagram comes back as another")
    said(f"asyncio: {count} datagrams, an empty one among them, come back as they were")


def udp_server():
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, peer):
            self.transport.sendto(data, peer)

    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        print("listening on 127.0.0.1:%d" % transport.get_extra_info("sockname")[1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def unix_datagrams(path, own):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.bind(own)
        for length in (1, 0, 1000, 60000):
            data = os.urandom(length)
            client.sendto(data, path)
            check(client.recv(MIB) == data, f"{length} bytes come back as others")
    os.unlink(own)


# Bulk: what the example `bulk` does, from the outside.


def bulk_send(kind, address, mib, seed):
    data = random.Random(int(seed)).randbytes(MIB)
    total, crc = 0, 0
    with connect(kind, address) as connection:
        for _ in range(int(mib)):
            connection.sendall(data)
            total, crc = total + len(data), zlib.crc32(data, crc)
        connection.shutdown(socket.SHUT_WR)
        report = connection.makefile("rb").read().decode()
    check(report == f"{total} bytes, CRC-32 {crc:08x}\n", f"sent {total} bytes, {crc:08x}; the report is {report!r}")


def bulk_receive(kind, address):
    total, crc = 0, 0
    with connect(kind, address) as connection:
        while data := connection.recv(MIB):
            total, crc = total + len(data), zlib.crc32(data, crc)
        report = f"{total} bytes, CRC-32 {crc:08x}"
        connection.sendall(report.encode() + b"\n")
    print(report)


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
