"""Serves Auth in Python with the helper, for the tests beside a real proxy: auth_server.py PORT."""
import os
import sys
import threading

import older  # noqa: F401
from billing import Auth
from billing.ttypes import Denied
from thrift.protocol import TBinaryProtocol
from thrift.server import TServer
from thrift.transport import TSocket, TTransport

import skerry


class Handler(object):
    def __init__(self):
        self.notes = []

    def name(self):
        return "auth"

    def verify(self, token):
        """Returns the milliseconds that are left, -1 without a request; denies what is to be denied."""
        if token == "denied":
            raise Denied("as asked for")
        if token == "notes":
            return ",".join(self.notes)
        left = skerry.remaining()
        return str(-1 if left is None else int(left * 1000))

    def echo(self, data):
        return data

    def note(self, text):
        self.notes.append(text)


def main():
    threading.Thread(target=lambda: os._exit(0 * len(os.read(0, 1))), daemon=True).start()
    server = TServer.TThreadedServer(
        skerry.processor(Auth.Processor(Handler())), TSocket.TServerSocket("127.0.0.1", int(sys.argv[1])),
        TTransport.TFramedTransportFactory(), TBinaryProtocol.TBinaryProtocolAcceleratedFactory(), daemon=True)
    server.serve()


if __name__ == "__main__":
    main()
