.PHONY: help demo demo-languages check test race bench bench-full console-pictures fuzz cross generate lang dist setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

demo: ## four services find each other on this machine; one is killed, one added, one stopped, one restarted; two are released (80 s)
	go build -o bin/portal/ ./examples/portal/cmd/... ./cmd/skerry
	bin/portal/demo

demo-languages: ## the same in Java, Python, C++ and Node.js: programs and proxies die, are upgraded and released (90 s; make setup)
	examples/polyglot/build
	go build -o bin/polyglot/ ./examples/polyglot/cmd/... ./cmd/skerry
	bin/polyglot/demo

check: ## gofmt, vet, staticcheck, and the tests that need neither root nor a database (a minute)
	scripts/check

test: ## everything, on a fresh Debian or Ubuntu with only Go and root (twenty minutes); test-LANE for one lane
	scripts/test

test-%:
	scripts/test $*

race: ## the schedules of releases with the race detector, on a quiet machine (5 minutes)
	go test -race -count=1 -timeout=20m -skip '^TestFailOver' ./test/consistency

bench: ## the call path beside its rivals, and the token of a release (3 minutes)
	cd bench && go run . call && go run . token

bench-full: ## every figure and picture of docs/benchmarks.md (about an hour; root, PostgreSQL, etcd, ZooKeeper)
	scripts/bench-full

console-pictures: ## a picture of each page of the console, in .build/console-pictures (2 minutes; root, make setup)
	cd console/e2e && go run ./pictures $(CURDIR)/.build/console-pictures

fuzz: ## every decoder for 60 s each
	scripts/fuzz 60s

cross: ## build for linux/arm64, loong64, 386 and arm, and windows/amd64; vet for windows and darwin
	scripts/cross

generate: ## make the generated code again from the .thrift files
	go generate ./...

lang: ## the helpers for other languages as packages, in .build/lang/dist
	lang/build

dist: ## packages of skerry for Linux and Windows in dist/ (VERSION=1.2.0; SKERRY_DIST_KEY=FILE signs the sums)
	rm -rf dist
	cd packaging && go run .

setup: ## install what tests and demo need beside Go
	scripts/setup
