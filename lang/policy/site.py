"""A site's policy behind a real proxy: site.py SKERRY NODE-CODE [unittest's arguments]. lang/policy/run runs it.

One proxy has programs of stock libraries, without helpers: `shop-1` and `shop-2` (Python, in two halls, with two
protocols) provide shop, `kiosk` (Node.js) provides kiosk, and `front` and `report` call them, from Python and Node.js.
`skerry policy apply` and `undo` change the policy while they run.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from shop import Shop
from shop.ttypes import Colour, Contact, Denied, Item, Leaf
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.transport import TSocket, TTransport

SKERRY, NODE = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = "framed-binary", "unframed-compact"
BOUND = 1.0     # seconds from the end of a command to its effect

CONFIG = """
cluster: policy-{port}
mode: broadcast
zone: hall-1
lan: {{interfaces: 127.0.0.0/8, port: {port}}}
site: {{keys: ["{folder}/site.key"]}}
consumers: {{"*": {{timeout: 2s, breaker: {{off: true}}}}}}    # many calls here fail
proxy:
  programs:
    front: {{listen: "unix:{folder}/front.sock"}}
    report: {{listen: "unix:{folder}/report.sock"}}
    shop-1:
      listen: unix:{folder}/shop-1.sock
      provides: [{{service: shop, version: v1, addr: "127.0.0.1:{one}", protocol: framed-binary,
                   listen: "127.0.0.1:{listed}"}}]
    shop-2:
      listen: unix:{folder}/shop-2.sock
      provides: [{{service: shop, version: v1, addr: "127.0.0.1:{two}", protocol: unframed-compact, zone: hall-2}}]
    kiosk:
      listen: unix:{folder}/kiosk.sock
      provides: [{{service: kiosk, version: v1, addr: "127.0.0.1:{kiosk}", protocol: framed-compact}}]
"""

ACCESS = """
policy: 1
services:
  shop:
    access:
      mode: enforce
      default: deny
      allow:
        - {caller: [front, skerry-cli]}
        - {caller: "ip:127.0.0.1", method: executed}
  kiosk:
    access: {mode: enforce, default: allow, deny: [{caller: report, method: "!executed"}]}
"""

LIMITS = """
policy: 1
services:
  shop:
    limits:
      - {match: {caller: front, method: name}, rate: 1, burst: 1, per: instance}
      - {match: {caller: front, method: slow}, pending: 2, per: site}
  kiosk:
    limits: [{match: {caller: front, method: name}, rate: 1, burst: 1, per: site}]
"""

CALLERS = """
policy: 1
services:
  kiosk:
    methods: {slow: {timeout: 200ms}}
    faults: [{match: {method: faulty}, error: unreachable, expires: 1h}]
    fallback: [{match: {method: slow}, on: [timeout], reply: "closed"}]
  shop:
    idempotent: [once]
    methods:
      slow: {timeout: 200ms}
      once: {retries: 1, attempt_timeout: 200ms}
    route:
      - {match: {method: routed}, to: {zone: hall-2}, else: none}
      - {match: {method: nowhere}, to: {zone: hall-9}, else: none}
    faults:
      - {match: {method: faulty, caller: front}, error: overloaded, expires: 1h}
      - {match: {method: delayed}, delay: 300ms, expires: 1h}
    fallback:
      - match: {method: item}
        on: [handler_failed]
        reply:
          name: "gr\\u00fc\\u00df"
          numbers: [0, -1, 70000]
          leaves: {a: {name: l, weight: -9}}
          colour: GREEN
          contact: {phone: 1099511627776}
          words: [x, y]
          yes: true
          price: -2.5
          nested: {"-1": [], "5": [RED, GREEN]}
      - {match: {method: contacts}, on: [always], expires: 1h, reply: [{mail: a@b}, {phone: 7}]}
      - {match: {method: leaves}, on: [handler_failed], reply: {"7": {name: g}}}
      - {match: {method: colour}, on: [always], expires: 1h, reply: RED}
      - {match: {method: nothing}, on: [handler_failed], reply: {}}
      - {match: {method: deny}, on: [handler_failed, timeout], reply: "not for a declared exception"}
"""

ITEM = Item(name=u"gr\u00fc\u00df", numbers=[0, -1, 70000], leaves={"a": Leaf("l", -9)}, colour=Colour.GREEN,
            contact=Contact(phone=1 << 40), words={"x", "y"}, yes=True, price=-2.5,
            nested={-1: [], 5: [Colour.RED, Colour.GREEN]})
ITEM_OF_NODE = {"name": u"gr\u00fc\u00df", "numbers": [0, -1, 70000], "leaves": {"a": {"name": "l", "weight": -9}},
                "colour": 7, "contact": {"phone": 1 << 40}, "words": ["x", "y"], "yes": True, "price": -2.5,
                "nested": {"-1": [], "5": [1, 7]}}

PLACES = """
policy: 1
services:
  shop:
    idempotent: [copied]
    weights: [{zone: hall-1, weight: 0}]
    mirror: [{match: {method: [copied]}, to: {mark: drill}, expires: 1h}]
"""


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Refused(Exception):
    """What a client of Node.js was told: the name of the error, and its text."""


class NodeClients(object):
    """A program of Node.js that calls as it is asked to."""

    def __init__(self, child):
        self.child = child
        self.lock = threading.Lock()

    def caller(self, address, service, kind):
        return lambda method, *args: self.call(address, service, kind, method, args)

    def call(self, address, service, kind, method, args):
        with self.lock:
            question = {"id": 0, "address": address, "service": service, "kind": kind, "method": method, "args": args}
            self.child.stdin.write(json.dumps(question) + "\n")
            self.child.stdin.flush()
            answer = json.loads(self.child.stdout.readline())
        if "error" in answer:
            raise Refused("%s: %s" % (answer["error"], answer["text"]))
        return answer.get("value")


def python_caller(address, service, kind):
    """Calls with the stock client of Python, on a connection of its own."""
    if isinstance(address, int):
        transport = TSocket.TSocket("127.0.0.1", address)
    else:
        transport = TSocket.TSocket(unix_socket=address)
    transport.setTimeout(10000)
    transport = (TTransport.TFramedTransport if kind.startswith("framed") else TTransport.TBufferedTransport)(transport)
    protocol = (TCompactProtocol.TCompactProtocol if kind.endswith("compact")
                else TBinaryProtocol.TBinaryProtocol)(transport)
    transport.open()
    client = Shop.Client(TMultiplexedProtocol(protocol, service))

    def call(method, *args):
        try:
            return getattr(client, method)(*args)
        except TApplicationException as e:
            raise Refused("TApplicationException: %s" % e)
    call.close = transport.close
    return call


class Site(object):
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="skerry-policy-")
        self.ports = {name: free_port() for name in ("one", "two", "kiosk", "listed")}
        self.ports["port"] = free_port(socket.SOCK_DGRAM)
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.children = []
        self.config = self.write("skerry.yaml", CONFIG.format(folder=self.folder, **self.ports))
        subprocess.run([SKERRY, "key", "new", "--out", os.path.join(self.folder, "site.key")], check=True,
                       stdout=self.log, stderr=self.log)
        shops = ["shop-1=%d=framed-binary" % self.ports["one"], "shop-2=%d=unframed-compact" % self.ports["two"]]
        self.start([sys.executable, os.path.join(HERE, "server.py")] + shops, stdout=self.log)
        node = ["node", "--no-deprecation"]
        self.start(node + [os.path.join(NODE, "server.js"), "kiosk=%d" % self.ports["kiosk"]], stdout=self.log)
        self.start([SKERRY, "proxy", "--config", self.config], stdout=self.log)
        self.node = NodeClients(self.start(node + [os.path.join(NODE, "client.js")], stdout=subprocess.PIPE))

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, 0o600)
        return path

    def start(self, command, stdout):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=self.log, text=True)
        self.children.append(child)
        return child

    def address(self, program):
        return os.path.join(self.folder, program + ".sock")

    def policy(self, *arguments):
        """Runs a command that changes the policy. It ends when all processes have said what they obey.

        Status 3: nothing was done, as no process has answered in time, on a machine with too much work.
        """
        for _ in range(5):
            said = subprocess.run([SKERRY, "policy"] + list(arguments) + ["--yes", "--config", self.config],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if said.returncode != 3:
                break
        if said.returncode != 0:
            raise AssertionError("skerry policy %s: status %d\n%s" % (arguments[0], said.returncode, said.stdout))
        return said.stdout

    def end(self):
        for child in reversed(self.children):
            child.kill()
            child.communicate()
        self.log.close()
        if "KEEP" not in os.environ:
            shutil.rmtree(self.folder)


def outcome(call, *args):
    """The value of a call, or its error as text."""
    try:
        return call(*args)
    except Refused as e:
        return str(e)


class Policy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = site = Site()
        cls.addClassCleanup(site.end)
        until = time.monotonic() + 60
        for program in "front", "report":
            while not os.path.exists(site.address(program)):
                assert time.monotonic() < until, "no proxy after 60 s"
                time.sleep(0.05)
        cls.callers = {}
        for program in "front", "report":
            for service in "shop", "kiosk":
                for kind in KINDS:
                    for language, make in ("python", python_caller), ("node", site.node.caller):
                        cls.callers[language, program, service, kind] = make(site.address(program), service, kind)
        front = cls.callers["python", "front", "shop", KINDS[0]]
        kiosk = cls.callers["python", "front", "kiosk", KINDS[0]]
        names = set()
        while len(names) < 2 or outcome(kiosk, "name") != "kiosk":
            names.update({outcome(front, "name")} & {"shop-1", "shop-2"})
            assert time.monotonic() < until, "not listed after 60 s: %s" % names
        site.policy("apply", site.write("nothing.yaml", "policy: 1\nservices: {}\n"), "--why", "nothing yet")

    def each(self, program, service):
        """All kinds of callers of a service by the socket of a program."""
        for (language, by, to, kind), call in self.callers.items():
            if (by, to) == (program, service):
                with self.subTest(language=language, program=program, service=service, kind=kind):
                    yield call

    def apply(self, text, *more):
        self.site.policy("apply", self.site.write("policy.yaml", text), "--why", self.id(), *more)
        self.changed = time.monotonic()
        self.applied = True

    def undo(self):
        self.site.policy("undo", "--why", "the end of the test")
        self.changed = time.monotonic()
        self.applied = False

    applied = False

    def tearDown(self):
        if self.applied:    # a test that has failed leaves nothing to the next one
            self.undo()

    def soon(self, what, holds):
        """The first effect, at most a second after the command has ended."""
        while not holds():
            self.assertLess(time.monotonic() - self.changed, BOUND, what)

    def refused(self, code, call, *args):
        got = outcome(call, *args)
        self.assertTrue(str(got).startswith("TApplicationException: %s: " % code), "%s, want %s" % (got, code))
        return got

    def executed(self):
        return self.callers["python", "front", "shop", KINDS[0]]("executed", "name")

    def test_access_of_callees(self):
        """The caller is the program's name, and the address of a client that is no program of a proxy."""
        plain = python_caller(self.site.ports["listed"], "shop", "framed-binary")
        self.addCleanup(plain.close)
        self.assertEqual("shop-1", plain("name"))
        self.apply(ACCESS)
        before = self.executed()
        for call in self.each("report", "shop"):
            text = self.refused("access_denied", call, "name")
            self.assertIn("report (a name without proof) may not call shop.name: no item of access.allow", text)
        for call in self.each("report", "kiosk"):
            self.assertIn("services.kiosk.access.deny[0]", self.refused("access_denied", call, "name"))
            self.assertIsInstance(call("executed", "name"), int)
        self.assertIn("ip:127.0.0.1 may not call shop.name", self.refused("access_denied", plain, "name"))
        self.assertEqual(before, plain("executed", "name"))
        for call in self.each("front", "shop"):
            self.assertIn(call("name"), ("shop-1", "shop-2"))
        for call in self.each("front", "kiosk"):
            self.assertEqual("kiosk", call("name"))
        self.undo()
        for service in "shop", "kiosk":
            for call in self.each("report", service):
                self.assertIn(call("name"), ("shop-1", "shop-2", "kiosk"))
        self.assertEqual("shop-1", plain("name"))

    def test_limits_of_callees(self):
        self.apply(LIMITS)
        for service in "shop", "kiosk":
            for call in self.each("front", service):
                said = [outcome(call, "name") for _ in range(10)]
                limited = [text for text in said if text.startswith("TApplicationException: limited: ")]
                self.assertTrue(limited, said)
                self.assertIn("services.%s.limits[0]" % service, limited[0])
            for call in self.each("report", service):
                for _ in range(10):
                    self.assertIn(call("name"), ("shop-1", "shop-2", "kiosk"))
        said = []

        def slow():
            call = python_caller(self.site.address("front"), "shop", KINDS[0])
            said.append(outcome(call, "slow", 1000))
            call.close()
        threads = [threading.Thread(target=slow) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertTrue([text for text in said if "limited: " in text], said)
        self.assertTrue([text for text in said if text.startswith("shop-")], said)
        self.undo()
        for service in "shop", "kiosk":
            for call in self.each("front", service):
                for _ in range(10):
                    self.assertIn(call("name"), ("shop-1", "shop-2", "kiosk"))

    def test_callers(self):
        self.apply(CALLERS, "--idl", "shop=%s" % os.path.join(HERE, "shop.thrift"),
                   "--idl", "kiosk=%s" % os.path.join(HERE, "shop.thrift"), "--although", "services.shop.route[1]")
        report = self.callers["python", "report", "shop", KINDS[1]]
        for token in range(10):  # on a busy machine an attempt may end before the program has it
            before = report("executed", "once")
            self.assertIn(report("once", "retry %d" % token), ("shop-1", "shop-2"))
            if report("executed", "once") == before + 2:
                break
        else:
            self.fail("no call was tried again at the end of its first attempt")
        for (language, program, service, kind), call in self.callers.items():
            with self.subTest(language=language, program=program, service=service, kind=kind):
                if service == "kiosk":
                    self.refused("unreachable", call, "faulty")
                    self.assertEqual("closed", call("slow", 1900))
                    continue
                self.replies(language, call)
                if program == "front":
                    self.refused("overloaded", call, "faulty")
                else:
                    self.assertIn(call("faulty"), ("shop-1", "shop-2"))
                if kind == KINDS[0]:    # these take their time
                    self.timed(call)
                self.assertEqual(["shop-2"] * 5, [call("routed") for _ in range(5)])
                self.refused("no_instance", call, "nowhere")
        self.undo()
        call = report
        self.assertIn(call("slow", 300), ("shop-1", "shop-2"))
        for name in "faulty", "nowhere":
            self.assertIn(call(name), ("shop-1", "shop-2"))
        for name in "item", "contacts", "colour":
            self.refused("handler_failed", call, name, *(["x"] if name == "item" else []))
        self.soon("both are called again", lambda: {call("routed") for _ in range(10)} == {"shop-1", "shop-2"})

    def timed(self, call):
        self.refused("deadline_exceeded", call, "slow", 1900)
        began = time.monotonic()
        self.assertIn(call("delayed"), ("shop-1", "shop-2"))
        self.assertGreater(time.monotonic() - began, 0.29, "delay")

    def replies(self, language, call):
        """The replies of fallbacks, as the generated code of the language reads them."""
        node = language == "node"
        self.assertEqual(ITEM_OF_NODE if node else ITEM, call("item", "x"))
        self.assertEqual([{"mail": "a@b"}, {"phone": 7}] if node else [Contact(mail="a@b"), Contact(phone=7)],
                         call("contacts"))
        self.assertEqual({"7": {"name": "g"}} if node else {Colour.GREEN: Leaf("g")}, call("leaves"))
        self.assertEqual(Colour.RED, call("colour"))
        self.assertIsNone(call("nothing"))
        self.refused("handler_failed", call, "fail")
        with self.assertRaisesRegex(Refused if node else Denied, "no"):
            call("deny", "no")

    def test_weights_and_mirror(self):
        self.apply(PLACES)
        for call in self.each("report", "shop"):
            self.soon("a weight of 0", lambda: [call("name") for _ in range(5)] == ["shop-2"] * 5)
        call = self.callers["node", "front", "shop", KINDS[1]]
        before = call("executed", "copied")
        for _ in range(10):
            self.assertEqual("shop-2", call("copied"))
        until = time.monotonic() + 5
        while call("executed", "copied") < before + 20:
            self.assertLess(time.monotonic(), until, "copies of %d calls" % (call("executed", "copied") - before))
        self.undo()
        self.soon("all weights", lambda: {call("name") for _ in range(10)} == {"shop-1", "shop-2"})
        before = call("executed", "copied")
        for _ in range(10):
            call("copied")
        self.assertEqual(before + 10, call("executed", "copied"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
