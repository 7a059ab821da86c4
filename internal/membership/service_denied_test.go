package membership

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/rpc"
)

// TestDeniedCallsHaveABound: an answer of denied has the calls with most counts, and counts what has no room.
func TestDeniedCallsHaveABound(t *testing.T) {
	now := time.Now()
	one := rpc.DeniedCalls{Service: "auth", Method: "verify", Caller: "report", Proof: "name", Calls: 9,
		Item: "services.auth.access.deny[0]", Enforced: true, First: now.Add(-time.Minute), Last: now}
	w := deniedCalls([]rpc.DeniedCalls{one, {Service: "auth", Calls: 2}}, 0, now)
	if len(w.Calls) != 2 || w.Others != nil || w.Calls[0].GetItem() != one.Item || !w.Calls[0].GetEnforced() ||
		w.Calls[0].FirstMs != 60_000 || w.Calls[1].Item != nil || w.Calls[1].Enforced != nil {
		t.Errorf("got %+v", w)
	}
	var many []rpc.DeniedCalls
	for i := range 1000 {
		d := one
		d.Caller = fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000))
		many = append(many, d)
	}
	w = deniedCalls(many, 5, now)
	size := 0
	for _, c := range w.Calls {
		size += len(c.Caller)
	}
	if left := int64(1000 - len(w.Calls)); len(w.Calls) < 200 || size > deniedBytes || w.GetOthers() != 5+9*left {
		t.Errorf("%d calls with %d bytes, others %d", len(w.Calls), size, w.GetOthers())
	}
}
