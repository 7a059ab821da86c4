#!/usr/bin/env bash
# generate.sh makes gen/ from idl/ with the stock Thrift compiler.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf gen
mkdir gen
thrift --gen go:package_prefix=github.com/skerry/skerry/examples/device/gen/,skip_remote -out gen idl/pump.thrift
gofmt -w gen
