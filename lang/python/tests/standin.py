"""Stands in for the proxy: a stock server on a Unix socket or a TCP port that reads the names of messages by itself."""
import os
import re
import socket
import threading

from billing import Auth
from billing.ttypes import Denied
from thrift.protocol import TBinaryProtocol
from thrift.server import TServer
from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.transport import TSocket, TTransport

NAME = re.compile(r"(?:ctx=([A-Za-z0-9_-]{1,24});)?auth:([a-zA-Z]+)$")
SENT = re.compile(r"ctx=[A-Za-z0-9_-]{1,24};skerry\.sent$")


class Proxy(object):
    """Proxy is a stand-in at path, or at a port of 127.0.0.1 with a token. stop closes its connections, too."""

    def __init__(self, path=None, port=0, token=None):
        self.path, self.token = path, token
        self.names, self.notes, self.logins = [], [], 0
        self.accepted = 0
        self.on_sent = None     # on_sent(oprot, seqid) answers skerry.sent
        self.note_takes = 0     # seconds until a note is passed on
        self.words = threading.local()
        self.noted = threading.Condition()
        self.processor = Auth.Processor(self)
        self.connections = []
        self.stopped = False
        if path is None:
            self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", port))
            self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        else:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if os.path.exists(path):
                os.unlink(path)
            self.listener.bind(path)
            self.address = path
        self.listener.listen(64)
        transport = TSocket.TServerSocket(unix_socket=path)
        transport.accept = self.accept
        transport.listen = lambda: None
        self.server = TServer.TThreadedServer(
            self, transport, TTransport.TFramedTransportFactory(),
            TBinaryProtocol.TBinaryProtocolAcceleratedFactory(), daemon=True)
        self.thread = threading.Thread(target=self.serve)
        self.thread.daemon = True
        self.thread.start()

    def serve(self):
        try:
            self.server.serve()
        except SystemExit:
            pass

    def accept(self):
        try:
            connection, _ = self.listener.accept()
        except OSError:
            raise SystemExit
        if self.stopped:
            connection.close()
            raise SystemExit
        self.accepted += 1
        self.connections.append(connection)
        client = TSocket.TSocket()
        client.setHandle(connection)
        return client

    def end_connections(self, how=socket.SHUT_RDWR):
        connections, self.connections = self.connections, []
        for connection in connections:
            try:
                connection.shutdown(how)
            except OSError:
                pass    # ended already

    def stop(self):
        self.stopped = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.end_connections()
        self.thread.join(5)
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)

    def process(self, iprot, oprot):
        name, kind, seqid = iprot.readMessageBegin()
        if name == "skerry.login":
            return self.login(iprot, oprot, seqid)
        if self.token and not getattr(iprot, "logged_in", False):
            raise TTransport.TTransportException(message="no login")
        found = NAME.match(name)
        self.names.append(name)
        if SENT.match(name):
            return self.sent(iprot, oprot, seqid)
        if not found:
            iprot.skip(TType.STRUCT)
            return self.refuse(oprot, name, seqid, TApplicationException.UNKNOWN_METHOD, "no such name: " + name)
        self.words.now = found.group(1)
        iprot.readMessageBegin = lambda: (found.group(2), kind, seqid)
        try:
            return self.processor.process(iprot, oprot)
        finally:
            del iprot.readMessageBegin

    def sent(self, iprot, oprot, seqid):
        """Answers in the order of the connection, as the proxy does; unless the test says how."""
        iprot.skip(TType.STRUCT)
        if self.on_sent is not None:
            return self.on_sent(oprot, seqid)
        return self.acknowledge(oprot, "skerry.sent", seqid)

    def login(self, iprot, oprot, seqid):
        iprot.readStructBegin()
        token = None
        while True:
            _, kind, number = iprot.readFieldBegin()
            if kind == TType.STOP:
                break
            if number == 1:
                token = iprot.readString()
            else:
                iprot.skip(kind)
        self.logins += 1
        if token != self.token:
            self.refuse(oprot, "skerry.login", seqid, TApplicationException.INTERNAL_ERROR, "wrong token")
            raise TTransport.TTransportException(message="wrong token")
        iprot.logged_in = True
        return self.acknowledge(oprot, "skerry.login", seqid)

    @staticmethod
    def acknowledge(oprot, name, seqid):
        oprot.writeMessageBegin(name, TMessageType.REPLY, seqid)
        oprot.writeFieldStop()
        oprot.writeMessageEnd()
        oprot.trans.flush()
        return True

    @staticmethod
    def refuse(oprot, name, seqid, code, text):
        oprot.writeMessageBegin(name, TMessageType.EXCEPTION, seqid)
        TApplicationException(code, text).write(oprot)
        oprot.writeMessageEnd()
        oprot.trans.flush()
        return True

    # The service auth.

    def name(self):
        return "auth"

    def verify(self, token):
        if token == "denied":
            raise Denied("as asked for")
        if token == "slow":
            threading.Event().wait(1.0)
        return self.words.now or "none"

    def echo(self, data):
        return data

    def note(self, text):
        threading.Event().wait(self.note_takes)
        with self.noted:
            self.notes.append((self.words.now or "none", text))
            self.noted.notify_all()

    def wait_for_notes(self, count, seconds=10):
        with self.noted:
            self.noted.wait_for(lambda: len(self.notes) >= count, seconds)
            return list(self.notes)
