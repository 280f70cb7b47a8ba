"""Run in a task's network namespace: frames that no honest program sends, and what comes back.

Arguments: the address to speak in the name of, and the hardware address ("own" or six octets). Prints what answers a SYN to
the metadata endpoint within two seconds: `answered` or `silent`.
"""

import re
import socket
import struct
import subprocess
import sys
import time

ENDPOINT, PORT = "169.254.170.2", 80


def hardware(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(source, port):
    """An IPv4 packet that opens a connection."""
    ends = socket.inet_aton(source) + socket.inet_aton(ENDPOINT)
    def segment(check):
        return struct.pack("!HHIIBBHHH", port, PORT, 1, 0, 5 << 4, 0x02, 64240, check, 0)
    whole = segment(checksum(ends + struct.pack("!BBH", 0, 6, 20) + segment(0)))
    def header(check):
        return struct.pack("!BBHHHBBH", 0x45, 0, 40, 7, 0, 64, 6, check) + ends
    return header(checksum(header(0))) + whole


def answered(link, source, port):
    """Whether the endpoint's answer to that is seen on the link."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        link.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            frame = link.recv(2048)
        except TimeoutError:
            return False
        packet = frame[14:]
        wanted = socket.inet_aton(ENDPOINT) + socket.inet_aton(source)
        if frame[12:14] == b"\x08\x00" and packet[12:20] == wanted and packet[20:24] == struct.pack("!HH", PORT, port):
            return True
    return False


def main(source, sender):
    route = subprocess.run(["ip", "-4", "route", "get", ENDPOINT], text=True, capture_output=True, check=True).stdout
    gateway, device = re.search(r"via (\S+) dev (\S+)", route).groups()
    neighbours = subprocess.run(["ip", "-4", "neigh", "show", gateway], text=True, capture_output=True, check=True).stdout
    router = hardware(re.search(r"lladdr (\S+)", neighbours).group(1))
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.bind((device, 3))
    own = link.getsockname()[4]
    claimed = own if sender == "own" else hardware(sender)
    # First "this address is mine", to whoever listens.
    address = socket.inet_aton(source)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + claimed + address + own + address
    link.send(b"\xff" * 6 + claimed + b"\x08\x06" + arp)
    port = 50_000 + int(time.time() * 1000) % 10_000
    link.send(router + claimed + b"\x08\x00" + syn(source, port))
    print("answered" if answered(link, source, port) else "silent")


main(*sys.argv[1:])
