"""Packs the helpers for Node.js, C++ and .NET: an npm tarball, an archive with the header, a NuGet package of source.

    python3 lang/pack.py FOLDER

Nothing but the standard library is needed, and no network. The same files give the same bytes.
"""
import gzip
import io
import json
import os
import re
import sys
import tarfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
TIME = (2020, 1, 1, 0, 0, 0)
SECONDS = 1577836800    # the same


def content(name):
    with open(os.path.join(HERE, name), "rb") as file:
        return file.read()


def tarball(path, files):
    """Writes a .tar.gz of files, pairs of a name and its content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), SECONDS, 0o644
            archive.addfile(entry, io.BytesIO(data))
    with open(path, "wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=SECONDS, filename="") as out:
            out.write(packed.getvalue())


def node(folder):
    package = json.loads(content("node/package.json").decode())
    names = ["package.json"] + package["files"]
    name = "%s-%s.tgz" % (package["name"], package["version"])
    tarball(os.path.join(folder, name), [("package/" + each, content("node/" + each)) for each in names])
    return name


def cpp(folder):
    version = re.search(r'kVersion = "(.*)"', content("cpp/skerry.hpp").decode()).group(1)
    top = "skerry-cpp-%s" % version
    files = [("include/skerry.hpp", "skerry.hpp"), ("README.md", "README.md"), ("README.zh-CN.md", "README.zh-CN.md")]
    packed = [("%s/%s" % (top, to), content("cpp/" + each)) for to, each in files]
    tarball(os.path.join(folder, top + ".tar.gz"), packed)
    return top + ".tar.gz"


def csharp(folder):
    spec = content("csharp/Skerry.nuspec").decode()
    name = re.search("<id>(.*)</id>", spec).group(1)
    version = re.search("<version>(.*)</version>", spec).group(1)
    types = ('<?xml version="1.0" encoding="utf-8"?>\n'
             '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
             '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
             '<Default Extension="nuspec" ContentType="application/octet"/>'
             '<Default Extension="cs" ContentType="application/octet"/>'
             '<Default Extension="md" ContentType="application/octet"/></Types>\n')
    relations = ('<?xml version="1.0" encoding="utf-8"?>\n'
                 '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                 '<Relationship Type="http://schemas.microsoft.com/packaging/2010/07/manifest"'
                 ' Target="/%s.nuspec" Id="R1"/></Relationships>\n' % name)
    files = [("[Content_Types].xml", types.encode()), ("_rels/.rels", relations.encode()),
             (name + ".nuspec", spec.encode()), ("README.md", content("csharp/README.md")),
             ("contentFiles/cs/any/Skerry.cs", content("csharp/Skerry.cs"))]
    packed = "%s.%s.nupkg" % (name, version)
    with zipfile.ZipFile(os.path.join(folder, packed), "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in files:
            entry = zipfile.ZipInfo(each, TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return packed


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 lang/pack.py FOLDER")
    os.makedirs(sys.argv[1], exist_ok=True)
    for pack in (node, cpp, csharp):
        print(pack(sys.argv[1]))


main()
