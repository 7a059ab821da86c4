package control

import (
	"errors"
	"fmt"
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
}
