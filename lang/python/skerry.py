"""Makes a Python program a full member of a skerry site, beside `skerry proxy` on its host.

    import skerry
    auth = Auth.Client(skerry.connect("auth"))        # any service by name; one client for all threads
    server = TThreadedServer(skerry.processor(Billing.Processor(handler)), ...)
    skerry.remaining()                                # seconds until the request's deadline, None without
    skerry.detach()                                   # from here on calls are no part of the request

A call that the program makes while it serves a request is a part of that request: the proxy gives the request a
word, `processor` keeps it in a context variable, and `connect` sends it along. The word stands for the trace, the
version token and the deadline, which stay in the proxy.

Python 3.6 and later, thrift 0.10 and later, nothing else. README.md says what the context does not reach by itself.
"""
import concurrent.futures
import functools
import io
import logging
import os
import re
import select
import socket
import struct
import threading
import time

from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.transport.TTransport import CReadableTransport, TMemoryBuffer, TTransportBase, TTransportException

__all__ = ["connect", "processor", "remaining", "detach", "wrap", "Executor"]
__version__ = "1.0"

log = logging.getLogger("skerry")

DEFAULT_PROXY = "/run/skerry/proxy.sock"
DIAL_FOR = 2.0              # seconds in which a proxy that starts or restarts is dialled again
MAX_FRAME = 64 << 20        # bytes of one reply; the proxy's own limit is lower
GRACE = 1.0                 # seconds behind the deadline in which the proxy answers that it has passed
WORD = re.compile(r"ctx=([A-Za-z0-9_-]{1,24})(?:\.([0-9]{1,15}))?;")
HEADER = re.compile(r"([A-Za-z0-9_-]{1,24})(?:\.([0-9]{1,15}))?$")


class _ThreadVar(object):
    """Stands in for contextvars.ContextVar before Python 3.7: a value for each thread."""

    def __init__(self):
        self._local = threading.local()

    def get(self):
        return getattr(self._local, "value", None)

    def set(self, value):
        before, self._local.value = self.get(), value
        return before

    def reset(self, before):
        self._local.value = before


try:
    import contextvars
    _current = contextvars.ContextVar("skerry", default=None)   # None or (word, deadline by time.monotonic or None)
except ImportError:
    _current = _ThreadVar()


def remaining():
    """Returns the seconds until the deadline of the request that is served here, None without one. Never negative."""
    context = _current.get()
    if context is None or context[1] is None:
        return None
    return max(0.0, context[1] - time.monotonic())


def detach():
    """Ends the request for what follows in this context: later calls are traces of their own, without its deadline."""
    _current.set(None)


def wrap(function):
    """Returns function bound to the request that is served here, to be run by another thread, then or later."""
    context = _current.get()

    @functools.wraps(function)
    def run(*args, **kwargs):
        before = _current.set(context)
        try:
            return function(*args, **kwargs)
        finally:
            _current.reset(before)
    return run


class Executor(concurrent.futures.ThreadPoolExecutor):
    """A ThreadPoolExecutor whose tasks belong to the request in which they were submitted."""

    def submit(self, function, *args, **kwargs):
        return super(Executor, self).submit(wrap(function), *args, **kwargs)


# Incoming calls.


def processor(inner):
    """Returns a processor around inner, a generated one or a TMultiplexedProcessor. It must be the outermost."""
    return _Processor(inner)


class _Once(object):
    """Replaces readMessageBegin of one protocol for one call: what was read already is given back."""
    # An object, since TProtocolDecorator would pass a function another argument.

    def __init__(self, protocol, message):
        self._protocol, self._message = protocol, message

    def __call__(self):
        del self._protocol.readMessageBegin
        return self._message


class _Mark(object):
    """Replaces a method of one protocol for one call, and remembers that it was called."""

    def __init__(self, protocol, method):
        self._protocol, self._method, self.called = protocol, method, False
        self._inner = getattr(protocol, method)
        setattr(protocol, method, self)

    def __call__(self, *args):
        self.called = True
        return self._inner(*args)

    def remove(self):
        self._protocol.__dict__.pop(self._method, None)


class _Processor(object):
    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):    # on_message_begin, registerProcessor
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def process(self, iprot, oprot):
        name, kind, seqid = iprot.readMessageBegin()
        if name == "skerry.helper":
            return self._introduce(iprot, oprot, seqid)
        context, name = _incoming(name, iprot)
        iprot.readMessageBegin = _Once(iprot, (name, kind, seqid))
        read, answered = _Mark(iprot, "readMessageEnd"), _Mark(oprot, "writeMessageBegin")
        before = _current.set(context)
        try:
            return self._inner.process(iprot, oprot)
        except Exception as err:
            if answered.called or not read.called:
                raise               # the connection is at fault, or the message: only its end is left
            log.exception("an exception left the handler of %s", name)
            if kind == TMessageType.ONEWAY:
                return True
            answered.remove()
            return _apologise(oprot, name, seqid, err)
        finally:
            _current.reset(before)
            iprot.__dict__.pop("readMessageBegin", None)
            read.remove()
            answered.remove()

    @staticmethod
    def _introduce(iprot, oprot, seqid):
        iprot.skip(TType.STRUCT)
        iprot.readMessageEnd()
        oprot.writeMessageBegin("skerry.helper", TMessageType.REPLY, seqid)
        oprot.writeStructBegin("helper_result")
        oprot.writeFieldBegin("name", TType.STRING, 1)
        oprot.writeString("python " + __version__)
        oprot.writeFieldEnd()
        oprot.writeFieldBegin("ordered", TType.BOOL, 2)     # each server of Python ends a call before the next
        oprot.writeBool(True)
        oprot.writeFieldEnd()
        oprot.writeFieldStop()
        oprot.writeStructEnd()
        oprot.writeMessageEnd()
        oprot.trans.flush()
        return True


def _incoming(name, iprot):
    """Splits ctx=WORD.MS;method into the context and the method."""
    found = WORD.match(name)
    if found:
        name = name[found.end():]
    elif hasattr(iprot, "get_headers"):
        header = iprot.get_headers().get(b"skerry-context")
        found = header and HEADER.match(header.decode("latin-1"))
    if not found:
        return None, name
    word, left = found.groups()
    return (word, None if left is None else time.monotonic() + int(left) / 1000.0), name


def _apologise(oprot, name, seqid, err):
    """Answers a call whose handler failed; stock code would close the connection."""
    method = name.rpartition(":")[2]
    text = "Internal error processing %s: %s: %s" % (method, type(err).__name__, str(err)[:500])
    oprot.writeMessageBegin(method, TMessageType.EXCEPTION, seqid)
    TApplicationException(TApplicationException.INTERNAL_ERROR, text).write(oprot)
    oprot.writeMessageEnd()
    oprot.trans.flush()
    return True


# Outgoing calls.


def connect(service, address=None, token=None, timeout=None):
    """Returns a protocol for a stock client of a service, which is called by its name through the proxy.

    Client and protocol may be shared by all threads, and used on both sides of a fork: each thread of each process
    has a connection of its own. Nothing is dialled before the first call.

    address   /path, unix:/path or host:port; else $SKERRY_PROXY, else /run/skerry/proxy.sock
    token     of the program, needed over TCP; else the content of the file $SKERRY_PROXY_TOKEN_FILE
    timeout   seconds to wait for a reply; without it as long as the proxy takes, which ends each call in time
    """
    return _Shared(service, address or os.environ.get("SKERRY_PROXY") or DEFAULT_PROXY, token, timeout)


class _Shared(object):
    """The protocol that connect returns: hands everything to the protocol of the calling thread."""

    def __init__(self, *args):
        self._args = args
        self._local = threading.local()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        local = self._local
        try:
            mine = local.protocol
        except AttributeError:
            mine = local.protocol = _Protocol(*self._args)
        return getattr(mine, name)

    def close(self):
        """Closes the calling thread's connection; its next call dials again."""
        self.trans.close()


class _Protocol(TBinaryProtocolAccelerated):
    """The binary protocol on a connection of one thread."""

    def __init__(self, service, address, token, timeout):
        TBinaryProtocolAccelerated.__init__(self, _Connection(address, token, timeout), string_length_limit=None)
        self._prefix = service + ":"

    def writeMessageBegin(self, name, type, seqid):
        context = _current.get()
        oneway = type == TMessageType.ONEWAY
        self.trans.begin(context and context[1], oneway, _sent_call(context[0]) if oneway and context else None)
        name = self._prefix + name
        if context is not None:
            name = "ctx=" + context[0] + ";" + name
        TBinaryProtocolAccelerated.writeMessageBegin(self, name, type, seqid)

    def readMessageEnd(self):
        TBinaryProtocolAccelerated.readMessageEnd(self)
        self.trans.end()


class _Connection(TTransportBase, CReadableTransport):
    """A connection to the proxy with one call at a time, in frames. A call that did not end closes it."""

    _sock = None

    def __init__(self, address, token, timeout):
        self._token, self._timeout = token, timeout
        self._where = address
        self._path, self._host = _parse(address)
        self._poll = self._pid = None
        self._busy = self._oneway = False
        self._behind = None
        self._out, self._in = io.BytesIO(), io.BytesIO()

    def begin(self, deadline, oneway, behind=None):
        """Readies the connection for a call: dials where there is none that can be used.

        behind    the frame of a call that is sent behind a one-way call, and answered when the proxy has passed that on
        """
        if self._sock is not None:
            # What can be read between two calls is the end of the connection, or a reply that came too late.
            if self._busy or self._pid != os.getpid() or self._poll(0):
                self.close()
        self._out, self._oneway, self._behind = io.BytesIO(), oneway, behind
        limit = self._timeout
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic()) + GRACE
            limit = left if limit is None else min(left, limit)
        if self._sock is None:
            self._dial(time.monotonic() + (DIAL_FOR if limit is None else min(limit, DIAL_FOR)))
        self._busy = True
        if self._sock.gettimeout() != limit:
            self._sock.settimeout(limit)
        self._limit = limit

    def end(self):
        self._busy = False

    def flush(self):
        body = self._out.getvalue()
        frame = struct.pack("!i", len(body)) + body
        until = None
        while True:
            try:
                self._sock.sendall(frame)
                break
            except socket.timeout:
                raise self._failed(TTransportException.TIMED_OUT, "the call could not be sent in time")
            except OSError as err:
                # On a Unix socket an error says that not all of the frame arrived: nothing was executed.
                until = until or time.monotonic() + DIAL_FOR
                failed = self._failed(TTransportException.NOT_OPEN, "sending failed: %s" % err)
                if self._path is None or time.monotonic() >= until:
                    raise failed
                self._dial(until)
                self._sock.settimeout(self._limit)
        if self._behind:
            self._await_sent()
        if self._oneway:
            self.end()

    def _await_sent(self):
        """Waits until the proxy has passed the one-way call on: the request may end then."""
        try:
            self._sock.sendall(self._behind)
        except socket.timeout:
            raise self._failed(TTransportException.TIMED_OUT, "the one-way call was not passed on in time")
        except OSError:
            # A proxy that hands its place over reads no more. It closes when what it read before is passed on.
            self._await_end()
            return
        self._read_frame()
        self._in = io.BytesIO()

    def _await_end(self):
        try:
            while self._sock.recv(65536):
                pass
        except socket.timeout:
            raise self._failed(TTransportException.TIMED_OUT, "the one-way call was not passed on in time")
        except OSError:
            pass
        self.close()

    def _dial(self, until):
        pause = 0.005
        while True:
            try:
                self._open()
                return
            except OSError as err:
                self.close()
                if time.monotonic() + pause >= until:
                    text = "no skerry proxy at %s: %s" % (self._where, err)
                    raise TTransportException(TTransportException.NOT_OPEN, text)
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _open(self):
        if self._path is None:
            sock = socket.create_connection(self._host, timeout=DIAL_FOR)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock, self._pid = sock, os.getpid()
        sock.settimeout(DIAL_FOR)
        if self._path is not None:
            sock.connect(self._path)
        self._poll = _readable(sock)
        token = self._token or _token_file()
        if token:
            self._login(token)

    def _login(self, token):
        out = TMemoryBuffer()
        call = TBinaryProtocol(out)
        call.writeMessageBegin("skerry.login", TMessageType.CALL, 0)
        call.writeFieldBegin("token", TType.STRING, 1)
        call.writeString(token)
        call.writeFieldStop()
        self._sock.sendall(struct.pack("!i", len(out.getvalue())) + out.getvalue())
        try:
            self._read_frame()
        except TTransportException as err:
            raise OSError("the connection ended in the login: %s" % err)
        reply = TBinaryProtocol(TMemoryBuffer(self._in.read()))
        if reply.readMessageBegin()[1] == TMessageType.EXCEPTION:
            refusal = TApplicationException()
            refusal.read(reply)
            raise self._failed(TTransportException.NOT_OPEN, "login refused: %s" % refusal.message)

    def _read_frame(self):
        """Reads one frame, and nothing behind it: a connection has one reply at a time."""
        data = self._recv()
        while len(data) < 4:
            data += self._recv()
        size, = struct.unpack_from("!i", data)
        if not 0 <= size <= MAX_FRAME or len(data) > 4 + size:
            raise self._failed(TTransportException.SIZE_LIMIT, "the reply is no frame, or too large")
        parts, have = [data[4:]], len(data) - 4
        while have < size:
            parts.append(self._recv(min(size - have, 1 << 20)))
            have += len(parts[-1])
        self._in = io.BytesIO(parts[0] if len(parts) == 1 else b"".join(parts))

    def _recv(self, most=65536):
        if self._sock is None:
            raise TTransportException(TTransportException.NOT_OPEN, "the connection to the proxy is closed")
        try:
            data = self._sock.recv(most)
        except socket.timeout:
            raise self._failed(TTransportException.TIMED_OUT, "no reply in time")
        except OSError as err:
            raise self._failed(TTransportException.UNKNOWN, "reading failed: %s" % err)
        if not data:
            raise self._failed(TTransportException.END_OF_FILE, "the connection ended before the reply")
        return data

    def _failed(self, kind, text):
        self.close()
        return TTransportException(kind, "skerry proxy at %s: %s" % (self._where, text))

    # What stock protocols and clients use of a transport.

    def isOpen(self):
        return True     # the next call dials

    def open(self):
        pass

    def close(self):
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
        self._in = io.BytesIO()

    __del__ = close     # its thread has ended

    def write(self, data):
        self._out.write(data)

    def read(self, size):
        data = self._in.read(size)
        if not data and size > 0:
            self._read_frame()
            data = self._in.read(size)
        return data

    @property
    def cstringio_buf(self):
        return self._in

    def cstringio_refill(self, partial, need):
        while len(partial) < need:
            self._read_frame()
            partial += self._in.getvalue()
        self._in = io.BytesIO(partial)
        return self._in


def _sent_call(word):
    """Returns the frame of the call that is answered when the one-way calls before it are passed on."""
    name = ("ctx=%s;skerry.sent" % word).encode()
    body = struct.pack("!Ii%dsiB" % len(name), 0x80010001, len(name), name, 0, TType.STOP)
    return struct.pack("!i", len(body)) + body


def _parse(address):
    """Returns the path of a Unix socket and None, or None and host and port."""
    if address.startswith("unix:"):
        return address[5:], None
    host, colon, port = address.rpartition(":")
    if "/" in address or not colon or not port.isdigit():
        if "/" not in address:
            raise ValueError("address of the skerry proxy: %r is neither /path, unix:/path nor host:port" % address)
        return address, None
    return None, (host.strip("[]"), int(port))


def _readable(sock):
    """Returns a function that tells whether something waits to be read on sock, its end too."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return poll.poll
    return lambda wait: select.select([sock], [], [], wait)[0]


def _token_file():
    path = os.environ.get("SKERRY_PROXY_TOKEN_FILE")
    if not path:
        return None
    with open(path) as file:
        return file.read().strip()
