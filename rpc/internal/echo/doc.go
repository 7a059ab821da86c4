// Package echo is the generated code of the service that the tests of package
// rpc call. Nothing else imports it.
package echo

//go:generate thrift -r --gen go:package_prefix=github.com/skerry/skerry/rpc/internal/,thrift_import=github.com/apache/thrift/lib/go/thrift -out .. echo.thrift
//go:generate rm -rf echo-remote base-remote feed-remote loads-remote
//go:generate gofmt -w echo.go echo-consts.go GoUnusedProtection__.go
