#!/usr/bin/env python3
"""Serves DB with the stock Thrift library of Python. It knows nothing of skerry:

    python/provider.py --listen 127.0.0.1:9090
    skerry announce --service db --version v1 --addr 127.0.0.1:9090 \\
                    --protocol framed-binary --check thrift

The second command keeps it listed for as long as it answers.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "gen"))

from thrift.protocol import TBinaryProtocol  # noqa: E402
from thrift.server import TServer  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from dbapi import DB  # noqa: E402
from dbapi.ttypes import NotFound, Record  # noqa: E402

RECORDS = {
    "pump-1": "pressure 4.1 bar, valve open",
    "crane": "parked, brake on",
}


class Records:
    def read(self, key):
        if key not in RECORDS:
            raise NotFound(key=key)
        return Record(key=key, text=RECORDS[key] + " (kept by Python)")


def main():
    args = argparse.ArgumentParser(description="serves DB")
    args.add_argument("--listen", default="127.0.0.1:9090", help="host:port")
    host, _, port = args.parse_args().listen.rpartition(":")
    server = TServer.TThreadedServer(
        DB.Processor(Records()),
        TSocket.TServerSocket(host, int(port)),
        TTransport.TFramedTransportFactory(),
        TBinaryProtocol.TBinaryProtocolFactory(),
        daemon=True,
    )
    print(f"db (Python) listens on {host}:{port}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
