"""Talks to an echo server through the example `fault_proxy`, and checks that it sees the fault that was asked for.

    fault_client.py ADDRESS FAULT...      (FAULT as fault_proxy has it)
"""

import random
import socket
import sys
import threading
import time

host, port = sys.argv[1].split(":")
name, value = sys.argv[2].split("=")
SENT = random.Random(1).randbytes(20_000)


def connect():
    client = socket.create_connection((host, int(port)), timeout=30)
    # Beside the reading: an echo may begin before everything is sent.
    threading.Thread(target=send, args=(client,)).start()
    return client


def send(client):
    try:
        client.sendall(SENT)
        if name != "hole":
            client.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It was reset.


def read(client):
    """All bytes until the end, and the error that was the end, if it was one."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except OSError as error:
        return received, error
    return received, None


start = time.monotonic()
received, error = read(connect()) if name != "hole" else (b"", None)
took = time.monotonic() - start
if name == "delay":
    assert (received, error) == (SENT, None)
    assert took >= 2 * int(value) / 1000, f"{took} s: late there, late back"
elif name == "rate":
    assert (received, error) == (SENT, None)
    assert took >= len(SENT) / int(value), f"{took} s"
elif name == "cut" and ".." in value:
    # The numbers are drawn for each connection.
    assert error is None and received == SENT[: len(received)] and 1000 <= len(received) <= 9000
    other, error = read(connect())
    assert error is None and other == SENT[: len(other)] and len(other) != len(received)
    print(len(received), len(other))
elif name == "cut":
    assert (received, error) == (SENT[: int(value)], None)
elif name == "half-close":
    assert (received, error) == (SENT[: int(value)], None)
    # Requests go through still: more of them than all buffers hold.
    client = socket.create_connection((host, int(port)), timeout=30)
    client.sendall(SENT[: int(value)])
    assert read(client) == (SENT[: int(value)], None)
    for _ in range(1600):
        client.sendall(SENT)
elif name == "reset":
    assert isinstance(error, ConnectionResetError), (len(received), error)
    # What was on its way is lost with a reset; what came is right.
    assert received == SENT[: len(received)] and len(received) <= int(value)
elif name == "hole":
    client = connect()
    client.settimeout(2)
    received, error = read(client)
    assert isinstance(error, TimeoutError), error
    assert received == SENT[: int(value)]
elif name == "corrupt":
    assert error is None
    wrong = [at for at in range(len(SENT)) if received[at] != SENT[at]]
    assert len(received) == len(SENT) and wrong == [int(value)], wrong
else:
    sys.exit(f"no check for {name}")
