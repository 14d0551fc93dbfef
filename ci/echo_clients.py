"""The Python clients of ci/echo_torture, from the standard library alone.

    echo_clients.py idle ADDR COUNT
        Opens COUNT connections, prints 'ready', and does nothing until it gets SIGTERM. Then sends a line
        through each, one after the other, and expects it back: the server still knows all of them.

    echo_clients.py lines ADDR CLIENTS LINES SEED
        CLIENTS asyncio clients at once. Each sends LINES lines of random length, up to 64 KiB, and
        compares what comes back byte by byte.

    echo_clients.py killed ADDR COUNT SEED
        COUNT client processes, each killed with SIGKILL in the middle of a transfer.

Each prints one line saying what it did, and exits with 0 if all was as it should be.
"""

import asyncio
import collections
import os
import random
import resource
import select
import signal
import socket
import sys
import time

LONGEST_LINE = 64 * 1024
# How many lines of a client may be on their way. More than the socket buffers hold, so that sending is
# stopped by TCP's flow control now and then, not by this bound alone.
LINES_IN_FLIGHT = 100
# All clients connect at once; beyond the backlog of the listener they have to try again.
CONNECT_SECONDS = 60
SILENCE_SECONDS = 120


def parse_address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def connect(address):
    return socket.create_connection(address, timeout=CONNECT_SECONDS)


# Idle connections.


def idle(address, count):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    start = time.monotonic()
    connections = [connect(address) for _ in range(count)]
    print(f"ready after {time.monotonic() - start:.1f} s", flush=True)

    signal.sigwait({signal.SIGTERM})
    for number, connection in enumerate(connections):
        connection.settimeout(SILENCE_SECONDS)
        line = b"idle connection %d\n" % number
        connection.sendall(line)
        received = b""
        while len(received) < len(line):
            part = connection.recv(len(line) - len(received))
            if not part:
                sys.exit(f"idle: the server closed connection {number}")
            received += part
        if received != line:
            sys.exit(f"idle: connection {number}: got {received!r}, sent {line!r}")
    for connection in connections:
        connection.close()
    print(f"idle: {count} connections were held, and each echoed a line at the end")


# Lines.


class Source:
    """Random lines, cut from one random block: making fresh ones would be most of the work."""

    def __init__(self, seed):
        block = random.Random(seed).randbytes(4 * 1024 * 1024)
        self.block = memoryview(block.replace(b"\n", b"\r"))

    def line(self, generator):
        length = generator.randrange(LONGEST_LINE)  # And the end of the line.
        start = generator.randrange(len(self.block) - length)
        return bytes(self.block[start : start + length]) + b"\n"


async def line_client(address, number, lines, source, generator):
    reader, writer = await asyncio.open_connection(*address, limit=2 * LONGEST_LINE)
    on_their_way = collections.deque()
    room = asyncio.Semaphore(LINES_IN_FLIGHT)

    async def send():
        for _ in range(lines):
            await room.acquire()
            line = source.line(generator)
            on_their_way.append(line)
            writer.write(line)
            await writer.drain()
        writer.write_eof()

    async def receive():
        count = 0
        for index in range(lines):
            received = await asyncio.wait_for(reader.readline(), SILENCE_SECONDS)
            if not on_their_way:
                raise ValueError(f"client {number}: line {index} was not sent yet")
            sent = on_their_way.popleft()
            if received != sent:
                raise ValueError(
                    f"client {number}: line {index} differs: sent {len(sent)} bytes, got {len(received)}"
                )
            count += len(received)
            room.release()
        rest = await asyncio.wait_for(reader.read(), SILENCE_SECONDS)
        if rest:
            raise ValueError(f"client {number}: {len(rest)} bytes came after the last line")
        return count

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        received = group.create_task(receive())
    writer.close()
    await writer.wait_closed()
    return received.result()


async def line_clients(address, clients, lines, seed):
    source = Source(seed)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                line_client(address, number, lines, source, random.Random(f"{seed} {number}"))
            )
            for number in range(clients)
        ]
    return sum(task.result() for task in tasks)


def lines(address, clients, lines_each, seed):
    start = time.monotonic()
    count = asyncio.run(line_clients(address, clients, lines_each, seed))
    seconds = time.monotonic() - start
    print(
        f"lines: {clients} clients sent {lines_each} lines each, and {count / 1e6:.0f} MB came back"
        f" byte for byte in {seconds:.1f} s ({count / 1e6 / seconds:.0f} MB/s)"
    )


# Killed clients.


def flood(address, does_read, progress):
    """Sends until it is killed. Writes a byte to `progress` when bytes have come back, or, if it never
    reads, when the server and it are stuck on each other."""
    connection = connect(address)
    connection.settimeout(0.2)
    chunk = b"x" * 65536
    told = False
    while True:
        is_stuck = False
        has_read = False
        try:
            connection.send(chunk)
        except TimeoutError:
            is_stuck = True
        if does_read:
            try:
                has_read = bool(connection.recv(65536))
            except TimeoutError:
                pass
        if (has_read if does_read else is_stuck) and not told:
            os.write(progress, b".")
            told = True


def killed(address, count, seed):
    generator = random.Random(seed)
    start = time.monotonic()
    for number in range(count):
        from_child, to_parent = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                flood(address, number % 2 == 0, to_parent)
            except BaseException as error:
                print(f"killed: client {number}: {error!r}", file=sys.stderr)
            os._exit(1)
        os.close(to_parent)
        # Empty, with a descriptor that is ready, when the child has ended by itself.
        is_ready, _, _ = select.select([from_child], [], [], SILENCE_SECONDS)
        in_the_middle = bool(is_ready and os.read(from_child, 1))
        time.sleep(generator.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(from_child)
        if not in_the_middle or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"killed: client {number} was not in the middle of a transfer")
    print(
        f"killed: {count} client processes, each in the middle of a transfer, half of them never reading,"
        f" within {time.monotonic() - start:.1f} s"
    )


def main():
    command, address, *numbers = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    commands = {"idle": idle, "lines": lines, "killed": killed}
    commands[command](parse_address(address), *map(int, numbers))


if __name__ == "__main__":
    main()
