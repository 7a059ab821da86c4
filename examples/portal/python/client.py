#!/usr/bin/env python3
"""Asks Portal for a report, with the stock Thrift library of Python.

    python/client.py --addr 10.0.0.5:7001 [--user alice] [--key pump-1]
                     [--protocol framed-binary|framed-compact|unframed-binary|unframed-compact]

The port is an ordinary port of a skerry service: it recognises plain Thrift
clients by their first bytes. "skerry ls portal" prints the address.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "gen"))

from thrift.protocol import TBinaryProtocol, TCompactProtocol  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from portalapi import Portal  # noqa: E402
from portalapi.ttypes import Request  # noqa: E402


def connect(addr, protocol):
    host, _, port = addr.rpartition(":")
    socket = TSocket.TSocket(host.strip("[]"), int(port))
    socket.setTimeout(3000)  # ms
    framing, encoding = protocol.split("-")
    wrap = {"framed": TTransport.TFramedTransport, "unframed": TTransport.TBufferedTransport}[framing]
    encode = {"binary": TBinaryProtocol.TBinaryProtocol, "compact": TCompactProtocol.TCompactProtocol}[encoding]
    transport = wrap(socket)
    transport.open()
    return transport, Portal.Client(encode(transport))


def main():
    args = argparse.ArgumentParser(description="asks Portal for a report")
    args.add_argument("--addr", required=True, help="host:port of a Portal")
    args.add_argument("--user", default="alice")
    args.add_argument("--secret", default="open sesame")
    args.add_argument("--key", default="pump-1")
    args.add_argument("--protocol", default="framed-binary")
    args = args.parse_args()

    transport, portal = connect(args.addr, args.protocol)
    try:
        answer = portal.handle(Request(user=args.user, secret=args.secret, key=args.key))
    finally:
        transport.close()
    print(answer.text)
    for hop in answer.hops:
        print(f"  {hop.callee}.{hop.method} answered by {hop.instance} {hop.version} in {hop.micros} µs")


if __name__ == "__main__":
    main()
