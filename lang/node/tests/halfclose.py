"""A proxy in the middle of its upgrade: it reads one call, shuts the reading half, and answers 300 ms later."""
import os
import socket
import struct
import sys
import time

path = sys.argv[1]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(5)
os.write(1, b"listening\n")    # one write, which the test waits for
conn, _ = listener.accept()
os.unlink(path)


def exactly(n):
    data = b""
    while len(data) < n:
        data += conn.recv(n - len(data))
    return data


while True:
    frame = exactly(struct.unpack("!i", exactly(4))[0])
    if b"auth:verify" in frame:
        break
conn.shutdown(socket.SHUT_RD)
os.write(1, b"shut\n")
time.sleep(0.3)
seqid = frame[8 + len("auth:verify"):12 + len("auth:verify")]
body = struct.pack("!II", 0x80010002, 6) + b"verify" + seqid + b"\x0b\x00\x00" + struct.pack("!i", 3) + b"old\x00"
conn.sendall(struct.pack("!i", len(body)) + body)
time.sleep(0.2)
