"""Puts the two ends of a wire into two network namespaces, and becomes the program that passes packets between them.

    wire.py NAMESPACE1 NAMESPACE2 PROGRAM ARGUMENT...

In each namespace there is a device `wire0` then (still down, without addresses): a TAP device. The program has the first
one's descriptor as its standard input, the second one's as its standard output. When a namespace goes, so does its device.
"""

import fcntl
import os
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

ends = []
for number, namespace in enumerate(sys.argv[1:3]):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    # A name of its own until it is moved.
    name = f"w{os.getpid()}.{number}"
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "netns", namespace, "name", "wire0"], check=True)
    ends.append(fd)
for number, fd in enumerate(ends):
    os.dup2(fd, number)
    os.close(fd)
os.execv(sys.argv[3], sys.argv[3:])
