"""Calls the service of echo.thrift with the stock library of Python and
prints what came back as JSON.

    client.py STUBS HOST PORT FRAMING ENCODING

FRAMING is framed, unframed or header; header-zlib compresses what it sends.
ENCODING is binary or compact.
"""
import json
import sys
from socket import SHUT_WR

stubs, host, port, framing, encoding = sys.argv[1:]
sys.path.insert(0, stubs)

from echo import Echo  # noqa: E402
from echo.ttypes import Message, Refusal  # noqa: E402
from thrift.protocol.TBinaryProtocol import TBinaryProtocol  # noqa: E402
from thrift.protocol.TCompactProtocol import TCompactProtocol  # noqa: E402
from thrift.protocol.THeaderProtocol import THeaderProtocol  # noqa: E402
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol  # noqa: E402
from thrift.Thrift import TApplicationException  # noqa: E402
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID, THeaderTransformID  # noqa: E402
from thrift.transport.TSocket import TSocket  # noqa: E402
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport  # noqa: E402

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def protocol_over(socket):
    if framing.startswith("header"):
        sub = {"binary": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}[encoding]
        return THeaderProtocol(socket, (THeaderClientType.HEADERS,), sub)
    wrap = {"framed": TFramedTransport, "unframed": TBufferedTransport}[framing]
    return {"binary": TBinaryProtocol, "compact": TCompactProtocol}[encoding](wrap(socket))


def plain(m):
    """A Message as JSON has it."""
    return {"text": m.text, "tags": m.tags, "number": m.number, "parts": [plain(p) for p in m.parts or []]}


def failure(call, *kinds):
    try:
        call()
    except kinds as e:
        return e
    raise SystemExit("client.py: a call that must fail did not")


def main():
    socket = TSocket(host, int(port))
    socket.setTimeout(5000)
    protocol = protocol_over(socket)
    protocol.trans.open()
    if framing == "header-zlib":
        protocol.trans.add_transform(THeaderTransformID.ZLIB)
    client = Echo.Client(protocol)
    out = {"who": client.who()}

    part = Message(text="part", tags={}, number=-(2**63), parts=[])
    sent = Message(text="grüße, 世界", tags={"a": "1", "": "empty"}, number=2**62, parts=[part] * 3)
    out["echo"] = plain(client.echo(sent))
    out["large"] = len(client.echo(Message(text="x" * 200_000)).text)
    out["refusal"] = failure(lambda: client.echo(Message(text="refuse")), Refusal).why
    error = failure(lambda: client.fail("error"), TApplicationException)
    out["error"] = {"type": error.type, "message": error.message}

    if framing.startswith("header"):
        protocol.trans.set_header(b"traceparent", TRACE)
    client.note("from Python")
    out["again"] = client.who()
    if framing.startswith("header"):
        out["headers"] = {k.decode(): v.decode() for k, v in protocol.trans.get_headers().items()}
    out["multiplexed"] = Echo.Client(TMultiplexedProtocol(protocol, "echo")).who()
    out["half"] = half_closed()
    print(json.dumps(out))


def half_closed():
    """Sends calls, closes the sending side, and reads the replies."""
    socket = TSocket(host, int(port))
    socket.setTimeout(5000)
    protocol = protocol_over(socket)
    protocol.trans.open()
    client = Echo.Client(protocol)
    for millis in (60, 50, 40):
        client.send_sleep(millis)
    socket.handle.shutdown(SHUT_WR)
    return [client.recv_sleep() for _ in range(3)]


main()
