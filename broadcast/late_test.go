package broadcast

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
)

// TestLateKeys: where a key may come from a database a moment after the start,
// its lack is told after ten seconds; else at once.
func TestLateKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			late  bool
			comes time.Duration
			warns time.Duration // -1: never
		}{{false, time.Hour, 0}, {true, time.Hour, lateKeys}, {true, 3 * time.Second, -1}} {
			var log bytes.Buffer
			var keys [][]byte
			r, err := New(Config{Cluster: "site", Owner: registry.NewOwner(), LateKeys: test.late, Keys: func() [][]byte { return keys },
				Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			n := newNetwork(r, t.Context())
			start, warned := time.Now(), time.Duration(-1)
			for ; time.Since(start) < 30*time.Second; time.Sleep(time.Second) {
				if time.Since(start) >= test.comes {
					keys = ring("key")
				}
				r.rekey(n)
				if warned < 0 && strings.Contains(log.String(), "skerry key new --cluster site here, skerry key set --cluster site there") {
					warned = time.Since(start)
				}
			}
			n.group.Stop()
			if got := strings.Count(log.String(), "no key of the site"); warned != test.warns || got > 1 {
				t.Errorf("%+v: warned %d times, first after %v\n%s", test, got, warned, &log)
			}
		}
	})
}
