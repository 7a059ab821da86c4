//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// TestChangesAreToldTogether: during the pause of a large site changes wait. One notification then
// brings all, without a read.
func TestChangesAreToldTogether(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	slow := quick(t, server.URL(db), newOwner())
	slow.Heartbeat, slow.Poll, slow.Expiry = time.Minute, time.Minute, 3*time.Minute // no beat in the test
	a := start(t, slow)
	slow.Owner = newOwner()
	b := start(t, slow)
	list := []registry.Instance{a.offer()}
	b.sees(2*time.Second, list...)
	b.holds(time.Second, list...) // the notifications of the start have been sent
	server.Exec(t, db, "UPDATE skerry_told SET pause = '2 seconds', at = now()")
	for port := 7001; port < 7004; port++ {
		in := a.instance()
		in.Port = port
		if err := a.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		list = append(list, in)
	}
	shown := 0
	b.until(8*time.Second, "all four", func(s registry.Snapshot) bool {
		shown++
		return len(s.Instances) == len(list)
	})
	if told := one[bool](t, server.URL(db),
		"SELECT t.rev = r.rev FROM skerry_told t JOIN skerry_revision r USING (cluster)"); !told {
		t.Error("something waits to be told still")
	}
	if shown > 2 {
		t.Errorf("%d lists were shown on the way, want one with everything", shown)
	}
}
