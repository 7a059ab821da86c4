#!/usr/bin/env bash
# generate.sh makes api/ with the stock Thrift compiler, and apistream/ with skerry gen, from historian.thrift.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf api apistream
thrift --gen go:package_prefix=github.com/skerry/skerry/examples/historian/,skip_remote -out . historian.thrift
gofmt -w api
go run ../../cmd/skerry gen go historian.thrift
