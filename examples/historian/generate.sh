#!/usr/bin/env bash
# generate.sh makes api/ and python/gen/ with the stock Thrift compiler, and apistream/ with skerry gen, of
# historian.thrift.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf api apistream python/gen
mkdir -p python/gen
thrift --gen go:package_prefix=github.com/skerry/skerry/examples/historian/,skip_remote -out . historian.thrift
gofmt -w api
thrift --gen py -out python/gen historian.thrift
rm python/gen/__init__.py python/gen/api/*-remote
go run ../../cmd/skerry gen go historian.thrift
