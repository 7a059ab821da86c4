package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// deaf is a program of the stock library without a method: it answers each call as unknown.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	conf := &thrift.TConfiguration{}
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			go func() {
				p := thrift.NewTBinaryProtocolConf(
					thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(nc, conf), conf), conf)
				ctx := context.Background()
				for {
					name, _, seq, err := p.ReadMessageBegin(ctx)
					if err != nil || p.Skip(ctx, thrift.STRUCT) != nil {
						return
					}
					unknown := thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "no method "+name)
					_ = p.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq)
					_ = unknown.Write(ctx, p)
					_ = p.Flush(ctx)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// Operators see a host's programs, whether they are listed, and that they have no helper.
func TestProgramsBehindAProxyAreShown(t *testing.T) {
	t.Parallel()
	addr := deaf(t)
	cfg := site(t, fmt.Sprintf(`state_dir: none
proxy:
  programs:
    billing:
      listen: unix:%s
      provides: [{service: bills, version: v3, addr: "%s"}]
    front: {listen: "unix:%s"}
`, filepath.Join(t.TempDir(), "b.sock"), addr, filepath.Join(t.TempDir(), "f.sock")))
	shows := func(out string, parts ...string) bool {
		for line := range strings.Lines(out) {
			at := 0
			for _, part := range parts {
				i := strings.Index(line[at:], part)
				if i < 0 {
					at = -1
					break
				}
				at += i + len(part)
			}
			if at >= 0 {
				return true
			}
		}
		return false
	}
	if code, out, _ := cli(t, "", "proxy", "status", "-c", cfg); code != exitProblem ||
		!shows(out, "billing", "no proxy") {
		t.Errorf("status without a proxy: exit code %d\n%s", code, out)
	}
	if code, out, _ := cli(t, "", "doctor", "-c", cfg); code != exitProblem ||
		!shows(out, "no proxy answers for the program billing at unix:") {
		t.Errorf("doctor without a proxy: exit code %d\n%s", code, out)
	}
	program(t, "proxy", "-c", cfg)
	var out string
	eventually(t, "the program is listed", func() bool {
		_, out, _ = cli(t, "", "proxy", "status", "-c", cfg)
		return shows(out, "billing", "serving", "bills/v3", addr, "listed", "none")
	})
	if !shows(out, "front", "serving", "unix:") {
		t.Errorf("status:\n%s", out)
	}
	_, out, errs := heard(t, "ls", "-c", cfg, "bills")
	if !shows(out, "bills", "v3", "program billing behind its proxy") {
		t.Errorf("ls:\n%s%s", out, errs)
	}
	_, out, _ = cli(t, "", "doctor", "-c", cfg)
	if !shows(out, "the proxy of billing (process ", "is serving") ||
		!shows(out, "bills/v3 of program billing at "+addr+" is listed") ||
		!shows(out, "program billing has no helper") {
		t.Errorf("doctor:\n%s", out)
	}
	if code, _, errs := cli(t, "", "proxy", "drain", "-c", cfg, "billing"); code != exitOK ||
		!strings.Contains(errs, "billing has been left; it may be stopped") {
		t.Errorf("drain: exit code %d, %s", code, errs)
	}
}
