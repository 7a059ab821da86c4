#!/usr/bin/env bash
# generate.sh makes gen/, the Go code of the demo's load; build makes the code of the four programs.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf gen
mkdir -p gen
thrift --gen go:package_prefix=github.com/skerry/skerry/examples/polyglot/gen/,skip_remote -out gen idl/polyglot.thrift
gofmt -w gen
