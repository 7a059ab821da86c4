package fse

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/skerry/skerry/bench/sim"
)

func TestThePublishedTimelinessComesOut(t *testing.T) {
	for _, size := range []int{4, 8} {
		rows, err := measure(context.Background(), size, 60)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range approaches {
			if a.timeliness == nil {
				continue
			}
			if r := rows[i].timeliness / a.timeliness[size]; math.Abs(r-1) > 0.25 {
				t.Errorf("%d components, %s: %.0f, published %.0f", size, a.name, rows[i].timeliness,
					a.timeliness[size])
			}
		}
		theirs := rows[2].timeliness
		if told, ours := rows[3].timeliness, rows[4].timeliness; told > 1.25*theirs || ours > 1.4*theirs {
			t.Errorf("%d components: %.0f until drained, %.0f when handlers tell, %.0f by future and past edges", size,
				ours, told, theirs)
		}
	}
}

// chain is a site with one request, from cron over proc to db, which is to be
// updated. It takes 80 units: 10 in cron, 5 on the way, 10 in proc, 5, 20 in
// db, and back.
func chain(begin time.Duration) *site {
	call := func(w *sim.Work) [][]*sim.Call {
		return [][]*sim.Call{{{Work: w, Attempts: []sim.Attempt{{There: 5 * sim.Unit, Back: 5 * sim.Unit}}}}}
	}
	db := &sim.Work{Service: 7, Pause: 20 * sim.Unit}
	proc := &sim.Work{Service: 3, Pause: 10 * sim.Unit, Steps: call(db)}
	cron := &sim.Work{Service: 2, Pause: 10 * sim.Unit, Steps: call(proc)}
	return &site{graph: sim.Portal(), target: 7, requests: []*timeline{follow(cron, begin)}}
}

func TestACourseIsWhatItsPartsAddUpTo(t *testing.T) {
	if r := chain(asked).requests[0]; r.end-r.begin != 80*sim.Unit {
		t.Errorf("the request takes %v", r.end-r.begin)
	}
}

func TestQuiescenceWaitsForAllThatHaveBegun(t *testing.T) {
	s := chain(asked - 40*sim.Unit)
	news := s.distance(2)
	if got, want := s.quiescence(), (result{40*sim.Unit + news, 0}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := chain(asked + 40*sim.Unit).quiescence(); got.timeliness != 0 {
		t.Errorf("a request that comes later is waited for: %v", got)
	}
}

func TestEdgesWaitOnlyForReturns(t *testing.T) {
	e := setUp(chain(asked - 60*sim.Unit)) // db is done before the edges are valid
	if got := e.free(); got != e.valid {
		t.Errorf("free at %v, valid at %v: no request can come back", got, e.valid)
	}
	e = setUp(chain(asked)) // db is running when the edges become valid
	if got, want := e.free(), asked+50*sim.Unit; got != want {
		t.Errorf("free at %v, want %v, when db has ended", got, want)
	}
}
