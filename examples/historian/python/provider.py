#!/usr/bin/env python3
"""Provides pages of a sensor that is computed, with the stock Thrift library of Python and without skerry.

    python/provider.py --port 9090

It has a value of the sensor "tide" for each tenth of a second, and keeps those of the last hour. That library has no
streams. Beside "skerry proxy" this program is a historian of the site; skerry.Follow takes its pages for a stream.
"""
import argparse
import math
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "gen"))

from thrift.protocol import TBinaryProtocol  # noqa: E402
from thrift.server import TServer  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from api import Historian  # noqa: E402
from api.ttypes import Gone, Point  # noqa: E402

STEP = 100  # ms between two values
KEPT = 3_600_000  # ms


def now():
    return int(time.time() * 1000)


class Tide:
    def watchPage(self, r, most, waitMs):
        """Up to most values after r.since; it waits for the first one."""
        oldest = now() - KEPT
        if 0 < r.since < oldest:
            raise Gone("values are kept for an hour", oldest)
        if r.tags and "tide" not in r.tags:
            time.sleep(waitMs / 1000)
            return []
        start = (r.since or oldest) // STEP * STEP + STEP
        time.sleep(min(waitMs, max(0, start - now())) / 1000)
        times = range(start, now() + 1, STEP)[:most]
        return [Point(tag="tide", t=t, value=math.sin(t / 10_000)) for t in times]

    def tags(self):
        return ["tide"]


def main():
    args = argparse.ArgumentParser(description="provides pages of a sensor")
    args.add_argument("--port", type=int, required=True)
    port = args.parse_args().port
    server = TServer.TThreadedServer(
        Historian.Processor(Tide()), TSocket.TServerSocket("127.0.0.1", port),
        TTransport.TFramedTransportFactory(), TBinaryProtocol.TBinaryProtocolFactory(), daemon=True)
    server.serve()


if __name__ == "__main__":
    main()
