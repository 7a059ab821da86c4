package shim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/chance"
)

var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newMachine() *machine { return &machine{jitter: func() float64 { return 0 }} }

// TestRestartPace: at once, then 1 s doubling to 60 s.
func TestRestartPace(t *testing.T) {
	var r Restarts
	now := origin
	want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60}
	for i, w := range want {
		d := r.Ended(now, time.Second, 0)
		if d != w*time.Second {
			t.Errorf("delay %d is %v, not %v", i, d, w*time.Second)
		}
		if loops := r.CrashLooping(0); loops != (i >= 4) {
			t.Errorf("after %d ends, crash looping is %v", i+1, loops)
		}
		now = now.Add(d + time.Second)
	}
	if !r.CrashLooping(forgetAfter-1) || r.CrashLooping(forgetAfter) {
		t.Error("a crash loop does not end when the program is up for five minutes")
	}
	if d := r.Ended(now.Add(forgetAfter), forgetAfter, 0); d != 0 || r.CrashLooping(0) {
		t.Errorf("five minutes up forgot nothing: delay %v", d)
	}
}

// TestSlowEndsAreNoLoop: ends that are four minutes apart.
func TestSlowEndsAreNoLoop(t *testing.T) {
	var r Restarts
	for i := range 20 {
		r.Ended(origin.Add(time.Duration(i)*4*time.Minute), 3*time.Minute, 0)
		if r.CrashLooping(0) {
			t.Fatalf("end %d is called a crash loop", i)
		}
	}
}

func TestJitterShortens(t *testing.T) {
	rnd := chance.Rand(t, 16)
	var r Restarts
	r.Ended(origin, 0, 0)
	for range 20 {
		full := min(max(2*r.delay, firstDelay), maxDelay)
		if d := r.Ended(origin, 0, rnd.Float64()); d > full || d < full*4/5 {
			t.Fatalf("a delay of %v became %v", full, d)
		}
	}
}

func wantActions(t *testing.T, what string, got []action, want ...action) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: actions %v, not %v", what, got, want)
	}
}

func TestMachineStops(t *testing.T) {
	m := newMachine()
	wantActions(t, "begin", m.begin(), actStart)
	m.started(origin)
	wantActions(t, "stop", m.stop(origin, 10*time.Second), actSignal)
	wantActions(t, "stop again", m.stop(origin, time.Hour))
	wantActions(t, "before the grace is over", m.tick(origin.Add(9*time.Second)))
	wantActions(t, "after it", m.tick(origin.Add(10*time.Second)), actKill)
	wantActions(t, "it does not die", m.tick(origin.Add(15*time.Second)), actKill)
	wantActions(t, "ended", m.ended(origin.Add(16*time.Second)), actKill, actFinish)
	if m.phase != Stopped {
		t.Error(m.phase)
	}
}

func TestShorterGraceWins(t *testing.T) {
	m := newMachine()
	m.begin()
	m.started(origin)
	m.stop(origin, time.Hour)
	m.stop(origin.Add(time.Second), 0)
	wantActions(t, "kill after stop", m.tick(origin.Add(time.Second)), actKill)
}

func TestStopWhileBackingOff(t *testing.T) {
	m := newMachine()
	m.begin()
	wantActions(t, "could not be started", m.ended(origin), actKill)
	wantActions(t, "the first restart is at once", m.tick(origin), actStart)
	m.ended(origin)
	wantActions(t, "stop", m.stop(origin, time.Minute), actKill, actFinish)
}

func TestRestartByOrder(t *testing.T) {
	m := newMachine()
	m.begin()
	m.started(origin)
	next, err := m.restart(origin, time.Minute)
	wantActions(t, "restart", next, actSignal)
	if err != nil {
		t.Error(err)
	}
	wantActions(t, "ended", m.ended(origin), actKill)
	wantActions(t, "tick", m.tick(origin), actStart)
	m.started(origin)
	m.restart(origin, time.Minute)
	m.stop(origin, time.Minute)
	wantActions(t, "a stop wins over a restart", m.ended(origin), actKill, actFinish)
	if _, err := m.restart(origin, 0); err == nil {
		t.Error("a stopped instance was told to restart")
	}
}

// TestMachineInvariants plays random events: never two programs, everything killed before a start and before the end,
// and nothing after it.
func TestMachineInvariants(t *testing.T) {
	rnd := chance.Rand(t, 16)
	for range 2000 {
		playMachine(t, rnd)
	}
}

func playMachine(t *testing.T, rnd *rand.Rand) {
	m := &machine{jitter: rnd.Float64}
	now := origin
	running, clean, finished, asked := false, true, false, false
	var do func(actions []action)
	do = func(actions []action) {
		for _, a := range actions {
			if finished {
				t.Fatalf("action %v after the end", a)
			}
			switch a {
			case actStart:
				if running || !clean {
					t.Fatal("a start while processes of the last one live")
				}
				if clean = false; rnd.IntN(4) == 0 {
					do(m.ended(now))
				} else {
					running = true
					m.started(now)
				}
			case actKill:
				clean = true
				if running && rnd.IntN(10) > 0 {
					running = false
					do(m.ended(now))
				}
			case actFinish:
				if running || !clean || !asked {
					t.Fatalf("finished: running %v, clean %v, asked %v", running, clean, asked)
				}
				finished = true
			}
		}
	}
	do(m.begin())
	for range 60 {
		switch rnd.IntN(6) {
		case 0, 1:
			if now = now.Add(time.Duration(rnd.Int64N(int64(time.Minute)))); !m.due.IsZero() && rnd.IntN(2) == 0 {
				now = m.due
			}
			do(m.tick(now))
		case 2, 3:
			if running {
				running = false
				do(m.ended(now))
			}
		case 4:
			next, _ := m.restart(now, time.Duration(rnd.Int64N(int64(time.Minute))))
			do(next)
		case 5:
			if rnd.IntN(5) == 0 {
				asked = true
				do(m.stop(now, time.Duration(rnd.Int64N(int64(time.Minute)))))
			}
		}
	}
	if !finished && m.phase != Up && m.due.IsZero() {
		t.Fatalf("phase %q waits for nothing", m.phase)
	}
}
