#!/bin/sh
# Makes the generated code of the benchmark: thrift 0.17, protoc 3.21, protoc-gen-go,
# protoc-gen-go-grpc and protoc-gen-go-drpc on the PATH.
set -eu
cd "$(dirname "$0")/.."
thrift --gen go:package_prefix=github.com/skerry/skerry/bench/,skip_remote -out . idl/bench.thrift
thrift --gen go:package_prefix=github.com/skerry/skerry/bench/,skip_remote -out . idl/deploy.thrift
protoc --go_out=. --go-grpc_out=. --go-drpc_out=. --go_opt=module=github.com/skerry/skerry/bench \
	--go-grpc_opt=module=github.com/skerry/skerry/bench --go-drpc_opt=module=github.com/skerry/skerry/bench idl/bench.proto
gofmt -w benchthrift benchproto deploy/stepapi
