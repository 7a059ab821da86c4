#!/usr/bin/env bash
# generate.sh makes gen/ (Go), python/gen/ and node/gen/ from idl/ with the stock Thrift compiler.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf gen python/gen node/gen
mkdir -p gen python/gen node/gen
for idl in idl/*.thrift; do
	thrift --gen go:package_prefix=github.com/skerry/skerry/examples/portal/gen/,skip_remote -out gen "$idl"
	thrift --gen py -out python/gen "$idl"
	thrift --gen js:node,es6 -out node/gen "$idl"
done
find python/gen -name '*-remote' -delete
rm python/gen/__init__.py
gofmt -w gen
