package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/skerry/skerry/rpc"
)

// TestStatusOfPolicy: a user's request that the site's policy refuses has a status of its own, and the answer does not
// show the text of the policy.
func TestStatusOfPolicy(t *testing.T) {
	for code, want := range map[rpc.Code]int{
		rpc.AccessDenied: http.StatusForbidden,
		rpc.Limited:      http.StatusTooManyRequests,
		rpc.Overloaded:   http.StatusServiceUnavailable,
	} {
		err := fmt.Errorf("auth.verify: %w", &rpc.Error{Code: code, Executed: rpc.NotExecuted,
			Err: fmt.Errorf("by services.auth.limits[0]")})
		status := statusOf(err)
		if text := textOf(status, err); status != want || !strings.Contains(text, "not executed") ||
			strings.Contains(text, "services.auth") {
			t.Errorf("%v: %d %q, want %d", code, status, text, want)
		}
	}
}
