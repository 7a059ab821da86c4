package rpc

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DeniedCalls counts the calls of one caller to one method that the policy's access refuses, or would refuse if it were
// enforced.
type DeniedCalls struct {
	Service  string `json:"service"`
	Method   string `json:"method"`
	Caller   string `json:"caller"`         // "ip:10.0.0.9" for a client without a name
	Proof    string `json:"proof"`          // of the caller's name: certificate, address, or name (its own word)
	Item     string `json:"item,omitempty"` // that refuses, such as services.auth.access.deny[0]; "": the default
	Enforced bool   `json:"enforced"`       // false: the calls were executed

	Calls int64     `json:"calls"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

const (
	maxDenied   = 1000
	keepDenied  = 24 * time.Hour // a row without calls for so long may give its place to a newer one
	sweepDenied = time.Minute
)

type deniedKey struct {
	service, method, caller, proof, item string
	enforced                             bool
}

// deniedRow counts the calls of one key.
type deniedRow struct {
	calls       atomic.Int64
	first, last atomic.Int64 // Unix time in ns
}

func (r *deniedRow) add(now time.Time) {
	r.calls.Add(1)
	if at := now.UnixNano(); at > r.last.Load() {
		r.last.Store(at)
	}
}

// deniedCalls is a bounded table. It is safe for concurrent use.
type deniedCalls struct {
	mu     sync.Mutex
	rows   map[deniedKey]*deniedRow
	others int64     // calls that had no place
	swept  time.Time // when a place was last looked for
}

// count counts a call and returns its row, nil for one without a place.
func (d *deniedCalls) count(k deniedKey, now time.Time) *deniedRow {
	d.mu.Lock()
	defer d.mu.Unlock()
	row := d.rows[k]
	if row == nil {
		if len(d.rows) >= maxDenied && !d.sweep(now) {
			d.others++
			return nil
		}
		if d.rows == nil {
			d.rows = map[deniedKey]*deniedRow{}
		}
		k.caller = strings.Clone(k.caller)
		row = &deniedRow{}
		row.first.Store(now.UnixNano())
		d.rows[k] = row
	}
	row.add(now)
	return row
}

// sweep makes room by rows that have not grown for long, and reports whether there is some.
func (d *deniedCalls) sweep(now time.Time) bool {
	if now.Sub(d.swept) < sweepDenied {
		return false
	}
	d.swept = now
	old := now.Add(-keepDenied).UnixNano()
	for k, row := range d.rows {
		if row.last.Load() < old {
			delete(d.rows, k)
		}
	}
	return len(d.rows) < maxDenied
}

// DeniedCalls returns what the policy's access has refused since the server was made, and, while it audits, what it
// would have refused: the callers with most calls first. others are calls of further kinds, beyond the table's bound of
// 1,000.
func (s *Server) DeniedCalls() (all []DeniedCalls, others int64) {
	d := &s.denied
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, row := range d.rows {
		all = append(all, DeniedCalls{
			Service:  k.service,
			Method:   k.method,
			Caller:   k.caller,
			Proof:    k.proof,
			Item:     k.item,
			Enforced: k.enforced,
			Calls:    row.calls.Load(),
			First:    time.Unix(0, row.first.Load()),
			Last:     time.Unix(0, row.last.Load()),
		})
	}
	slices.SortFunc(all, func(a, b DeniedCalls) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Service, b.Service),
			strings.Compare(a.Method, b.Method), strings.Compare(a.Caller, b.Caller), strings.Compare(a.Item, b.Item))
	})
	return all, d.others
}
