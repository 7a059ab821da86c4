#!/usr/bin/env python3
"""Watches the values of historian, or sends some, with the stock Thrift library of Python.

    python/client.py --addr 10.0.0.5:7021 watch [--count N] [--since T] [TAG ...]
    python/client.py --addr 10.0.0.5:7021 upload TAG VALUE ...

That library has no streams. So it watches by pages: each call waits until there are values, and the
next one begins behind the last of them. A client stream that is called is a stream of one value.
"skerry ls historian" prints the address; a program beside skerry proxy calls its socket, unix:PATH.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "gen"))

from thrift.protocol import TBinaryProtocol  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from api import Historian  # noqa: E402
from api.ttypes import Gone, Point, Range  # noqa: E402

PAGE = 100  # values
WAIT = 10_000  # ms that the historian waits for the first value of a page


def connect(addr):
    host, _, port = addr.rpartition(":")
    if host == "unix":
        socket = TSocket.TSocket(unix_socket=port)
    else:
        socket = TSocket.TSocket(host.strip("[]"), int(port))
    socket.setTimeout(WAIT + 5000)  # ms
    transport = TTransport.TFramedTransport(socket)
    transport.open()
    return transport, Historian.Client(TBinaryProtocol.TBinaryProtocol(transport))


def watch(historian, tags, since):
    """Yields values after a time, in milliseconds since 1970, as they come."""
    while True:
        try:
            page = historian.watchPage(Range(tags=tags, since=since), PAGE, WAIT)
        except Gone as gone:
            print(f"values before {gone.oldest} are lost: {gone.why}", file=sys.stderr)
            since = gone.oldest - 1
            continue
        for point in page:
            since = point.t
            yield point


def main():
    args = argparse.ArgumentParser(description="watches or sends values of sensors")
    args.add_argument("--addr", required=True, help="host:port of a historian, or unix:PATH")
    commands = args.add_subparsers(dest="command", required=True)
    command = commands.add_parser("watch")
    command.add_argument("--count", type=int, default=0, help="end after so many values")
    command.add_argument("--since", type=int, default=int(time.time() * 1000), help="milliseconds since 1970")
    command.add_argument("tags", nargs="*")
    command = commands.add_parser("upload")
    command.add_argument("tag")
    command.add_argument("values", nargs="+", type=float)
    args = args.parse_args()

    transport, historian = connect(args.addr)
    try:
        if args.command == "upload":
            kept = sum(historian.upload(args.tag, Point(value=value)).kept for value in args.values)
            print(f"{args.tag}: {kept} values are kept")
            return
        for seen, point in enumerate(watch(historian, args.tags, args.since), 1):
            print(f"{point.t} {point.tag} {point.value:.2f}", flush=True)
            if seen == args.count:
                return
    finally:
        transport.close()


if __name__ == "__main__":
    main()
