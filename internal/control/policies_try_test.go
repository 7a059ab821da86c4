package control

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/skerry/skerry/rpc"
)

// TestOldProcessIsNamed: a process without the method is too old, and any other error is said as it is.
func TestOldProcessIsNamed(t *testing.T) {
	old := fmt.Errorf("h3: %w", &rpc.Error{Code: rpc.UnknownMethod, Err: errors.New("no method tryPolicy")})
	if got := silence(old); got != ErrTooOld.Error() {
		t.Errorf("an old process: %s", got)
	}
	if got := silence(errors.New("busy")); got != "busy" {
		t.Errorf("another: %s", got)
	}
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	lost := &rpc.Error{Code: rpc.Unreachable, Service: "skerry.internal", Err: fmt.Errorf("%w; no instance", dial)}
	if got := silence(lost); got != dial.Error() {
		t.Errorf("one that has ended: %s", got)
	}
	if got := silence(&rpc.Error{Code: rpc.NotMember, Err: errors.New("no key")}); got != "no key" {
		t.Errorf("one that refuses: %s", got)
	}
}
