"""Starts stock servers of all languages behind a real proxy, and stock clients that call all of them, side by side.

    pairs.py SKERRY [LANGUAGE...]     lang/matrix/run builds what this needs, and says where by MATRIX_...
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.environ["MATRIX_OUT"]
TOKEN = "a token of the matrix of languages"
PLAIN = ["framed-binary", "framed-compact", "unframed-binary", "unframed-compact"]

# What works in the stock library of a language. Java has no THeader. Mono's compiler can't compile the compact protocol
# of .NET's library. A THeader server of Node.js answers without headers when its handler answers later.
PROTOCOLS = {
    "cpp": PLAIN + ["header"],
    "csharp": ["framed-binary", "unframed-binary"],
    "java": PLAIN,
    "node": PLAIN + ["header"],
    "python": PLAIN + ["header"],
}
SERVERS = dict(PROTOCOLS, node=PLAIN)
COMMANDS = {
    "cpp": lambda program: [os.path.join(OUT, "cpp", program)],
    "csharp": lambda program: ["mono", os.path.join(OUT, program.capitalize() + ".exe")],
    "java": lambda program: ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", os.environ["MATRIX_JAVA"],
                             program.capitalize()],
    "node": lambda program: ["node", "--no-deprecation", os.path.join(os.environ["MATRIX_NODE"], program + ".js")],
    "python": lambda program: [sys.executable, os.path.join(HERE, program + ".py")],
}
OVER_TCP = ("csharp", "java")     # the others use Unix sockets

# The protocol of the server that a client's 5 MiB go to: another one, so that they are rewritten on the way.
BIG = dict(zip(PLAIN, PLAIN[1:] + PLAIN[:1]), header="header")


class Ports(object):
    """Free ports, which stay bound until all have been found."""

    def __init__(self):
        self.held = []

    def one(self):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        self.held.append(s)
        return s.getsockname()[1]

    def release(self):
        for s in self.held:
            s.close()


def free_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def configuration(folder, services, addresses):
    programs = {}
    for language, names in services.items():
        programs["served-" + language] = {
            "listen": "unix:%s/served-%s.sock" % (folder, language),
            "provides": [{"service": name, "version": "v1", "addr": "127.0.0.1:%d" % port,
                          "protocol": name.split("-", 1)[1], "concurrency": 100} for name, port in names.items()],
        }
    for language, address in addresses.items():
        listen = address if language in OVER_TCP else "unix:" + address
        programs["calls-" + language] = {"listen": listen}
        if language in OVER_TCP:
            programs["calls-" + language]["token"] = TOKEN
    port = free_udp()
    return {"cluster": "matrix-%d" % port, "mode": "broadcast", "lan": {"interfaces": "127.0.0.0/8", "port": port},
            "state_dir": os.path.join(folder, "state"), "consumers": {"*": {"timeout": "20s"}},
            "proxy": {"programs": programs}}


def listed(skerry, file, count):
    """Waits until the proxy lists all services."""
    until = time.time() + 60
    while True:
        said = subprocess.run([skerry, "proxy", "status", "--json", "--config", file], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        provided = [v for g in json.loads(said.stdout or "[]") for v in g.get("provides", [])]
        missing = [v["service"] for v in provided if v["state"] != "listed"]
        if len(provided) == count and not missing:
            return
        if time.time() > until:
            raise RuntimeError("after 60 s not listed: %s %s" % (", ".join(missing), said.stderr))
        time.sleep(0.2)


def jobs(language, services):
    """The arguments of a client: each protocol with all services.

    ! stands where the 5 MiB go, ~ where bools in lists are not tried: the compact protocol of Node.js reads each as false.
    """
    def marks(kind, name):
        lossy = language == "node" and kind.endswith("compact") or name.startswith("node") and name.endswith("compact")
        return "!" * name.endswith("-" + BIG[kind]) + "~" * lossy
    names = [name for group in services.values() for name in group]
    return ["%s=%s" % (kind, ",".join(name + marks(kind, name) for name in names)) for kind in PROTOCOLS[language]]


def expected(arguments):
    lines = set()
    for job in arguments:
        kind, _, names = job.partition("=")
        lines.update("%s %s" % (kind, name) for name in re.sub("[!~]", "", names).split(",") + ["threads"])
    return lines


def judge(language, arguments, client, began):
    """Prints what a client did not do, and returns whether it did everything."""
    said = client.communicate()[0].splitlines()
    wanted = expected(arguments)
    missing = wanted - set(line[3:] for line in said if line.startswith("ok "))
    wrong = [line for line in said if not line.startswith("ok ")]
    told = set(" ".join(line.rstrip(":").split(" ")[1:3]).rstrip(":") for line in wrong)
    for line in wrong + sorted("nothing said of " + pair for pair in missing - told):
        print("%s: %s" % (language, line))
    if client.returncode != 0:
        print("%s: the client ended with status %d" % (language, client.returncode))
    print("%-8s %3d of %3d after %.0f s" % (language, len(wanted) - len(missing), len(wanted), time.time() - began))
    return not missing and not wrong


def main():
    skerry, languages = sys.argv[1], sys.argv[2:] or sorted(PROTOCOLS)
    began = time.time()
    folder = tempfile.mkdtemp(prefix="skerry-matrix-")
    ports = Ports()
    services = {language: {"%s-%s" % (language, kind): ports.one() for kind in SERVERS[language]} for language in languages}
    addresses = {language: "127.0.0.1:%d" % ports.one() if language in OVER_TCP else "%s/%s.sock" % (folder, language)
                 for language in languages}
    ports.release()
    file = os.path.join(folder, "skerry.yaml")
    with open(file, "w") as out:
        json.dump(configuration(folder, services, addresses), out)
    os.chmod(file, 0o600)
    log = open(os.path.join(folder, "log"), "w")
    children = []

    def start(command, stdout):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=log, text=True, errors="replace",
                                 env=dict(os.environ, MATRIX_TOKEN=TOKEN))
        children.append(child)
        return child
    failed = True
    try:
        for language, names in services.items():
            start(COMMANDS[language]("server") + ["%s=%d" % pair for pair in names.items()], log)
        start([skerry, "proxy", "--config", file], log)
        listed(skerry, file, sum(len(names) for names in services.values()))
        print("all services are listed after %.0f s" % (time.time() - began))
        clients = {}
        for language in languages:
            arguments = jobs(language, services)
            clients[language] = arguments, start(COMMANDS[language]("client") + [addresses[language]] + arguments,
                                                 subprocess.PIPE)
        failed = not all([judge(language, *clients[language], began) for language in languages])
    finally:
        for child in reversed(children):
            child.kill()
            child.wait()
        log.close()
        if failed:
            print("what the programs said: %s" % log.name)
        else:
            shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
