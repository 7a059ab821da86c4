"""Builds the wheel and the source archive of skerry.py, of nothing but the standard library and without a network.

    python3 backend.py FOLDER      both, into FOLDER

pip finds it through pyproject.toml. The same files give the same bytes: no time, user or order of the disk goes in.
"""
import base64
import gzip
import hashlib
import io
import os
import re
import sys
import tarfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = ["skerry.py", "backend.py", "pyproject.toml", "README.md", "README.zh-CN.md"]
TIME = (2020, 1, 1, 0, 0, 0)
SECONDS = 1577836800    # the same


def content(name):
    with open(os.path.join(HERE, name), "rb") as file:
        return file.read()


def field(name, source):
    return re.search(r'^%s = "(.*)"$' % name, content(source).decode(), re.MULTILINE).group(1)


VERSION = field("__version__", "skerry.py")


def metadata():
    head = """Metadata-Version: 2.1
Name: skerry
Version: %s
Summary: %s
Requires-Python: %s
Requires-Dist: thrift (>=0.10)
Description-Content-Type: text/markdown

""" % (VERSION, field("description", "pyproject.toml"), field("requires-python", "pyproject.toml"))
    return head.encode() + content("README.md")


def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "skerry-%s.dist-info/" % VERSION
    files = [
        ("skerry.py", content("skerry.py")),
        (info + "METADATA", metadata()),
        (info + "WHEEL", b"Wheel-Version: 1.0\nGenerator: skerry\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ]
    record = "".join("%s,sha256=%s,%d\n" % (name, digest(data), len(data)) for name, data in files)
    files.append((info + "RECORD", (record + info + "RECORD,,\n").encode()))
    built = "skerry-%s-py3-none-any.whl" % VERSION
    with zipfile.ZipFile(os.path.join(folder, built), "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files:
            entry = zipfile.ZipInfo(name, TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return built


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def build_sdist(folder, config_settings=None):
    top = "skerry-%s/" % VERSION
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in [("PKG-INFO", metadata())] + [(name, content(name)) for name in SOURCES]:
            entry = tarfile.TarInfo(top + name)
            entry.size, entry.mtime = len(data), SECONDS
            tar.addfile(entry, io.BytesIO(data))
    with open(os.path.join(folder, top[:-1] + ".tar.gz"), "wb") as file:
        with gzip.GzipFile("", "wb", fileobj=file, mtime=SECONDS) as packed:
            packed.write(plain.getvalue())
    return top[:-1] + ".tar.gz"


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    print(build_wheel(sys.argv[1]))
    print(build_sdist(sys.argv[1]))
