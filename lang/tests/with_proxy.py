"""Programs in Python, Java and Node.js beside a real proxy: with_proxy.py SKERRY JAVA-CLASS-PATH NODE-CODE.

A site on loopback with two proxies. One serves `auth`, in Python, and `billing`, `billing-node` and `billing-python`, in
Java, Node.js and Python, which call auth. It refuses what is no part of a request (rollout.orphans: strict). The other
serves `front` and `tcp`, which only call. lang/with-proxy builds what this needs and runs it.
"""
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.path.join(os.path.dirname(HERE), "python")
sys.path[:0] = [os.path.join(PYTHON, "tests"), PYTHON]
import older  # noqa: E402,F401
import skerry  # noqa: E402
from billing import Auth, Billing  # noqa: E402
from billing.ttypes import Denied  # noqa: E402
from thrift.Thrift import TApplicationException  # noqa: E402

SKERRY, CLASSES, NODE_CODE = sys.argv[1:4]
TOKEN = "a token of the tests of the helpers"

CONFIG = """
cluster: helpers-{port}
mode: broadcast
consumers: {{"*": {{timeout: 2s}}}}
rollout: {{orphans: strict}}
proxy:
  programs:
    auth:
      listen: unix:{folder}/auth.sock
      provides: [{{service: auth, version: v1, addr: "127.0.0.1:{auth}", protocol: framed-binary}}]
    billing:
      listen: unix:{folder}/billing.sock
      provides: [{{service: billing, version: v1, addr: "127.0.0.1:{java}", protocol: framed-binary, calls: [auth]}}]
    billing-python:
      listen: unix:{folder}/billing-python.sock
      provides: [{{service: billing-python, version: v1, addr: "127.0.0.1:{python}", calls: [auth]}}]
    billing-node:
      listen: unix:{folder}/billing-node.sock
      provides: [{{service: billing-node, version: v1, addr: "127.0.0.1:{node}", calls: [auth]}}]
"""

# A proxy of its own: it begins traces, and a TCP port is not taken over by the next proxy.
FRONT_CONFIG = """
cluster: helpers-{port}
mode: broadcast
consumers: {{"*": {{timeout: 2s}}}}
proxy:
  programs:
    front: {{listen: "unix:{folder}/front.sock"}}
    tcp: {{listen: "127.0.0.1:{tcp}", token: "{token}"}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Site(object):
    """The proxy and its programs, which end with the test."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="skerry-helpers-")
        self.ports = {name: free_port() for name in ("port", "tcp", "auth", "java", "python", "node")}
        self.config = self.write("skerry.yaml", CONFIG)
        self.children = []
        self.log = open(os.path.join(self.folder, "log"), "w+")
        python = [sys.executable]
        self.start(python + [os.path.join(HERE, "auth_server.py"), str(self.ports["auth"])], "auth")
        self.start(python + [os.path.join(PYTHON, "tests", "provider.py"), "threaded", "framed-fast",
                             str(self.ports["python"])], "billing-python")
        self.start(["java", "-cp", CLASSES, "io.skerry.Main", str(self.ports["java"])], "billing")
        self.start(["node", os.path.join(HERE, "billing_server.js"), str(self.ports["node"])], "billing-node")
        self.proxy = self.start_proxy()
        self.start([SKERRY, "proxy", "--config", self.write("front.yaml", FRONT_CONFIG)])

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as out:
            out.write(text.format(folder=self.folder, token=TOKEN, **self.ports))
        return path

    def start(self, command, program=None):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), SKERRY_TEST_GEN=NODE_CODE)
        if program:
            environment["SKERRY_PROXY"] = os.path.join(self.folder, program + ".sock")
        child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)
        self.children.append(child)
        return child

    def start_proxy(self):
        return self.start([SKERRY, "proxy", "--config", self.config])

    def client(self, service, kind, program="front.sock", **options):
        return kind.Client(skerry.connect(service, address=os.path.join(self.folder, program), **options))

    def end(self):
        for child in reversed(self.children):
            child.kill()
            child.wait()
            child.stdin.close()
        self.log.close()


class WithProxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = Site()
        cls.addClassCleanup(cls.end_site)   # also when the rest of this fails
        cls.auth = cls.site.client("auth", Auth)
        cls.billings = {"java": cls.site.client("billing", Billing),
                        "python": cls.site.client("billing-python", Billing),
                        "node": cls.site.client("billing-node", Billing)}
        for client in [cls.auth] + list(cls.billings.values()):
            cls.wait(client)

    @classmethod
    def end_site(cls):
        cls.site.end()
        if "KEEP" not in os.environ:
            shutil.rmtree(cls.site.folder)

    def run(self, result=None):
        """Prints what the site has logged in a test that fails."""
        began = os.path.getsize(self.site.log.name)
        failed = len(result.failures) + len(result.errors)
        super(WithProxy, self).run(result)
        if len(result.failures) + len(result.errors) > failed:
            with open(self.site.log.name, errors="replace") as log:
                log.seek(began)
                print("the log of the site in %s:\n%s" % (self.id(), log.read()[-20000:]), file=sys.stderr)

    @staticmethod
    def wait(client, seconds=60):
        """Waits until a service answers: it is listed after its first check."""
        until = time.monotonic() + seconds
        while True:
            try:
                return client.name()
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def test_calls(self):
        self.assertEqual("auth", self.auth.name())
        with self.assertRaises(Denied):
            self.auth.verify("denied")
        data = os.urandom(5 << 20)
        self.assertEqual(data, self.auth.echo(data))
        with self.assertRaises(TApplicationException):
            self.site.client("nothing", Auth).name()

    def test_deadline_goes_through_programs(self):
        """Without the context the second call would have two seconds of its own, or be refused as it is here."""
        for name, billing in self.billings.items():
            with self.subTest(name):
                left = billing.remaining()
                self.assertTrue(0 < left <= 2000, left)
                self.assertTrue(0 < int(billing.charge("thread", "t")) <= 2000)
                for carrier in "pool", "timer":
                    with_context = int(billing.charge("slow_" + carrier, "t"))
                    self.assertTrue(0 < with_context < 1600, "%s: %d ms are left" % (carrier, with_context))
                with self.assertRaisesRegex(TApplicationException, "orphan"):
                    billing.charge("slow_detached", "t")

    def test_failures_are_answered(self):
        for name, billing in self.billings.items():
            for how in "value", "application", "unreachable":
                with self.subTest(name=name, how=how):
                    with self.assertRaises(TApplicationException):
                        billing.fail(how)
            self.assertEqual("billing", billing.name())

    def test_one_way_handler_that_outlives_its_call(self):
        for name, billing in self.billings.items():
            with self.subTest(name):
                for wave in range(5):   # as many at a time as the proxy has connections for
                    tokens = ["%s-later-%d-%d" % (name, wave, i) for i in range(6)]
                    for token in tokens:
                        billing.later(token)
                    self.await_notes(tokens)

    def test_one_way_call_at_the_end_of_a_handler(self):
        """The answer leaves on one connection, the one-way call on another: none becomes an orphan."""
        for name, billing in self.billings.items():
            with self.subTest(name):
                tokens = ["%s-charge-%d" % (name, i) for i in range(100)]
                for token in tokens:
                    self.assertEqual(token, billing.charge("note", token))
                self.await_notes(tokens)

    def await_notes(self, tokens, seconds=20):
        """Waits until auth has noted each token: it does after it has accepted the call."""
        until = time.monotonic() + seconds
        while True:
            missing = sorted(set(tokens) - set(self.auth.verify("notes").split(",")))
            if not missing or time.monotonic() > until:
                break
            time.sleep(0.05)
        self.assertEqual([], missing)

    def test_many_threads(self):
        wrong = []

        def call(number):
            for i in range(30):
                try:
                    text = b"%d %d" % (number, i)
                    if self.auth.echo(text) != text:
                        wrong.append(text)
                    for billing in self.billings.values():
                        int(billing.charge("pool", "t"))
                except Exception as e:
                    wrong.append(e)
        threads = [threading.Thread(target=call, args=(i,), daemon=True) for i in range(8)]
        for thread in threads:
            thread.start()
        self.join(threads, 60)
        self.assertEqual([], wrong[:3])

    def join(self, threads, seconds):
        until = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0, until - time.monotonic()))
        self.assertEqual(0, sum(thread.is_alive() for thread in threads), "threads still run")

    def test_login(self):
        address = "127.0.0.1:%d" % self.site.ports["tcp"]
        self.assertEqual("auth", self.wait(Auth.Client(skerry.connect("auth", address=address, token=TOKEN))))
        for token in None, "guess":
            with self.assertRaises(Exception):
                Auth.Client(skerry.connect("auth", address=address, token=token)).name()

    def test_z_upgrade_and_kill(self):
        """A second proxy takes over without a lost call; after a kill calls go on through the next one."""
        failed, ended, tokens = [], threading.Event(), []

        def load(number):
            for i in itertools.count():
                if ended.is_set():
                    return
                try:
                    self.auth.name()
                    for name, billing in self.billings.items():
                        billing.charge("thread", "t")
                        tokens.append(billing.charge("note", "%s-upgrade-%d-%d" % (name, number, i)))
                except Exception as e:
                    failed.append(e)
        threads = [threading.Thread(target=load, args=(i,), daemon=True) for i in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        first, second = self.site.proxy, self.site.start_proxy()
        try:
            self.assertEqual(0, first.wait(90))
            time.sleep(1)
        finally:
            ended.set()
            self.join(threads, 30)
        self.assertEqual([], failed[:3])
        self.assertGreater(len(tokens), 60)
        self.await_notes(tokens)
        second.send_signal(signal.SIGKILL)
        second.wait()
        self.site.start_proxy()
        self.assertEqual("auth", self.wait(self.auth))
        for billing in self.billings.values():
            self.wait(billing)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:])
