package discovery

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// TestDrained: a drained instance stays on the list and gets no calls, also when it is the only one.
// Of two sources the one with the newer order counts: the other may have been lost before.
func TestDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.Resolve("auth")
		say := func(s *script, d drain.Mark) {
			list := instances(1, 2)
			list[0] = d.Put(list[0])
			s.say(registry.Snapshot{Service: "auth", Instances: list})
		}
		since := time.Now()
		first := drain.Mark{Order: 1, On: true, Since: since, By: "li", Why: "a new kernel"}
		w.db.lists(1, 2)
		w.lan.lists(1, 2)
		w.after(time.Minute)
		w.expect("before", 1, 2)

		say(w.lan, first)
		w.expect("the LAN knows", 2)
		w.expectEntry(1, Drained, "drained by li since ")
		say(w.db, first)
		w.expect("both know", 2)
		w.db.lost()
		say(w.lan, drain.Mark{Order: 2})
		w.expect("put back, while the database is away", 1, 2)
		say(w.lan, drain.Mark{Order: 3, On: true, Since: since, By: "mo"})
		w.expect("again", 2)
		say(w.db, drain.Mark{Order: 4})
		w.expect("put back, as the database knows first", 1, 2)

		last := drain.Mark{Order: 5, On: true, Since: since, By: "li", Why: "a new kernel"}
		for _, s := range []*script{w.db, w.lan} {
			s.say(registry.Snapshot{Service: "auth", Instances: []registry.Instance{last.Put(instance(1))},
				Gone: []registry.Departure{{ID: instance(2).ID(), Kind: registry.Deregistered, When: time.Now()}}})
		}
		w.expect("the only one")
		_, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{})
		if !errors.Is(err, rpc.ErrNoInstance) || !strings.Contains(err.Error(), "drained by li since") ||
			!strings.Contains(err.Error(), "a new kernel") {
			t.Errorf("a call fails by: %v", err)
		}
	})
}
