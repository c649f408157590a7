"""Traffic for an interface, and a witness of what reached a socket behind it.

`traffic.py send INTERFACE MAC SECONDS` sends datagrams from a blocked and from an open address, as fast as it can, and
prints how many. `traffic.py count FILE SECONDS` counts what arrives on the port, and writes the counts to the file.
"""

import os
import select
import socket
import struct
import sys
import time

PORT = 9999
SERVER = "192.0.2.1"
# One of a country that the default blocks, one of a country that it does not.
BLOCKED = "5.136.0.77"
OPEN = "53.0.0.77"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(mac, source):
    payload = b"geofence"
    datagram = struct.pack("!4H", 40000, PORT, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0)
    head += socket.inet_aton(source) + socket.inet_aton(SERVER)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return bytes.fromhex(mac.replace(":", "")) + b"\x02\0\0\0\0\x02\x08\0" + head + datagram


def send(interface, mac, seconds):
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((interface, 0))
    frames = [frame(mac, BLOCKED)] * 9 + [frame(mac, OPEN)]
    sent, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for one in frames:
            try:
                sender.send(one)
                sent += 1
            except OSError:
                # The queue is full, or the link is down: the next ones will do.
                pass
    print(f"{sent} datagrams sent, 9 of 10 from {BLOCKED}", flush=True)


def count(path, seconds):
    witness = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    witness.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    witness.bind(("", PORT))
    counts = {BLOCKED: 0, OPEN: 0}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([witness], [], [], 0.1)[0]:
            _, (source, _) = witness.recvfrom(64)
            counts[source] = counts.get(source, 0) + 1
    with open(path + ".new", "w") as file:
        file.write(f"{counts[BLOCKED]} {counts[OPEN]}\n")
    os.rename(path + ".new", path)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        count(sys.argv[2], float(sys.argv[3]))
