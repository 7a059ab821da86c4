"""Programs in Python and Java beside a real proxy: with_proxy.py SKERRY JAVA-CLASS-PATH.

A site on loopback: one proxy with four programs. `front` only calls; `auth` is served in Python; `billing` is served
in Java and `billing-python` in Python, and both call auth. lang/with-proxy builds what this needs and runs it.
"""
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

SKERRY, CLASSES = sys.argv[1:3]
TOKEN = "a token of the tests of the helpers"

CONFIG = """
cluster: helpers-{port}
mode: broadcast
consumers: {{"*": {{timeout: 2s}}}}
proxy:
  programs:
    front: {{listen: "unix:{folder}/front.sock"}}
    auth:
      listen: unix:{folder}/auth.sock
      provides: [{{service: auth, version: v1, addr: "127.0.0.1:{auth}", protocol: framed-binary}}]
    billing:
      listen: unix:{folder}/billing.sock
      provides: [{{service: billing, version: v1, addr: "127.0.0.1:{java}", protocol: framed-binary, calls: [auth]}}]
    billing-python:
      listen: unix:{folder}/billing-python.sock
      provides: [{{service: billing-python, version: v1, addr: "127.0.0.1:{python}", calls: [auth]}}]
"""

# A proxy of its own: a TCP port is not taken over by the next proxy.
TCP_CONFIG = """
cluster: helpers-{port}
mode: broadcast
proxy:
  programs:
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
        self.ports = {name: free_port() for name in ("port", "tcp", "auth", "java", "python")}
        self.config = self.write("skerry.yaml", CONFIG)
        self.children = []
        self.log = open(os.path.join(self.folder, "log"), "w+")
        python = [sys.executable]
        self.start(python + [os.path.join(HERE, "auth_server.py"), str(self.ports["auth"])], "auth")
        self.start(python + [os.path.join(PYTHON, "tests", "provider.py"), "threaded", "framed-fast",
                             str(self.ports["python"])], "billing-python")
        self.start(["java", "-cp", CLASSES, "io.skerry.Main", str(self.ports["java"])], "billing")
        self.proxy = self.start_proxy()
        self.start([SKERRY, "proxy", "--config", self.write("tcp.yaml", TCP_CONFIG)])

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as out:
            out.write(text.format(folder=self.folder, token=TOKEN, **self.ports))
        return path

    def start(self, command, program=None):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
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
        cls.auth = cls.site.client("auth", Auth)
        cls.billings = {"java": cls.site.client("billing", Billing),
                        "python": cls.site.client("billing-python", Billing)}
        for client in [cls.auth] + list(cls.billings.values()):
            cls.wait(client)

    @classmethod
    def tearDownClass(cls):
        cls.site.end()
        if "KEEP" not in os.environ:
            shutil.rmtree(cls.site.folder)

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
        """Without the context the second call would have two seconds of its own."""
        for name, billing in self.billings.items():
            with self.subTest(name):
                left = billing.remaining()
                self.assertTrue(0 < left <= 2000, left)
                self.assertTrue(0 < int(billing.charge("thread", "t")) <= 2000)
                for carrier in "pool", "timer":
                    with_context = int(billing.charge("slow_" + carrier, "t"))
                    self.assertTrue(0 < with_context < 1600, "%s: %d ms are left" % (carrier, with_context))
                without = int(billing.charge("slow_detached", "t"))
                self.assertGreater(without, 1700)

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
                billing.later(name)
                until = time.monotonic() + 10
                while name not in self.auth.verify("notes").split(","):
                    self.assertLess(time.monotonic(), until)
                    time.sleep(0.05)

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
        threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual([], wrong[:3])

    def test_login(self):
        address = "127.0.0.1:%d" % self.site.ports["tcp"]
        self.assertEqual("auth", self.wait(Auth.Client(skerry.connect("auth", address=address, token=TOKEN))))
        for token in None, "guess":
            with self.assertRaises(Exception):
                Auth.Client(skerry.connect("auth", address=address, token=token)).name()

    def test_z_upgrade_and_kill(self):
        """A second proxy takes over without a lost call; after a kill calls go on through the next one."""
        failed, ended, count = [], threading.Event(), [0]

        def load():
            while not ended.is_set():
                try:
                    self.auth.name()
                    self.billings["java"].charge("thread", "t")
                    count[0] += 1
                except Exception as e:
                    failed.append(e)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        first, second = self.site.proxy, self.site.start_proxy()
        try:
            self.assertEqual(0, first.wait(90))
            time.sleep(1)
        finally:
            ended.set()
            for thread in threads:
                thread.join(30)
        self.assertEqual([], failed[:3])
        self.assertGreater(count[0], 20)
        second.send_signal(signal.SIGKILL)
        second.wait()
        self.site.start_proxy()
        self.assertEqual("auth", self.wait(self.auth))
        self.wait(self.billings["java"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
