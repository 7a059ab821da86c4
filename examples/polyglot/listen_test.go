//go:build linux

package polyglot

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPortalEndsWithoutItsPort: a Portal whose port another program has ends with a status that its supervisor takes
// for a failure, and says why.
func TestPortalEndsWithoutItsPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	gen := t.TempDir()
	if out, err := exec.Command("thrift", "--gen", "js:node,es6", "-out", gen, "idl/polyglot.thrift").
		CombinedOutput(); err != nil {
		t.Fatalf("thrift: %v: %s", err, out)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	portal := exec.CommandContext(ctx, "node", "portal/portal.js", "portal-a", "v1", port)
	portal.Env = append(os.Environ(), "NODE_PATH="+strings.Join([]string{gen, filepath.Join(root, "lang/node"),
		filepath.Join(root, ".build/node_modules")}, ":"))
	out, err := portal.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "EADDRINUSE") {
		t.Errorf("%v: %s; want status 1, and the reason", err, out)
	}
}
