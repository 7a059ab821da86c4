#!/usr/bin/env bash
# generate.sh makes common/ and wide/ from the .thrift files with the stock Thrift compiler and skerry gen.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf common wide
thrift -r --gen go:package_prefix=github.com/skerry/skerry/cmd/skerry/internal/gen/internal/idl/,skip_remote -out . wide.thrift
gofmt -w common wide
go run ../../../.. gen go wide.thrift
