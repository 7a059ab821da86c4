package main

import (
	"testing"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

// at is a call to a process that ended so long after the act.
func at(began time.Time, after time.Duration, p *site.Process, change func(*call)) call {
	c := call{service: p.Service, instance: p.Addr, ended: began.Add(after), attempts: 1}
	if change != nil {
		change(&c)
	}
	return c
}

func lost(c *call)    { c.failure, c.sent = "connection lost", true }
func refused(c *call) { c.failure = "no listener" }
func retried(c *call) { c.attempts = 2 }

func TestPromisesAreJudgedByWhatCallersSaw(t *testing.T) {
	began := time.Now()
	old := &site.Process{Name: "auth-1", Service: "auth", Addr: "127.0.0.1:1"}
	other := &site.Process{Name: "auth-2", Service: "auth", Addr: "127.0.0.1:2"}
	find := func(name string) *site.Process {
		if name == old.Name {
			return old
		}
		return other
	}
	served := at(began, 100*time.Millisecond, other, nil)

	for _, c := range []struct {
		name    string
		promise promise
		calls   []call
		kept    bool
	}{
		{"no calls at all", noCallFails(), nil, false},
		{"one call", noCallFails(), []call{served}, true},
		{"a failed call", noCallFails(), []call{served, at(began, 1, other, lost)}, false},

		{"avoided at once", avoided("auth-1", time.Second), []call{served}, true},
		{"avoided too late", avoided("auth-1", time.Second),
			[]call{served, at(began, 1100*time.Millisecond, old, lost)}, false},
		{"still tried first", avoided("auth-1", time.Second), []call{served, at(began, 2*time.Second, other, retried)},
			false},
		{"avoided because no instance is called", avoided("auth-1", time.Second), nil, false},

		{"a sent call is lost", onlySentCallsFail("auth-1"), []call{served, at(began, 1, old, lost)}, true},
		{"a call that could have gone elsewhere", onlySentCallsFail("auth-1"),
			[]call{served, at(began, 1, old, refused)}, false},
		{"a call to another is lost", onlySentCallsFail("auth-1"), []call{served, at(began, 1, other, lost)}, false},

		{"new one is used", used("auth-2", time.Second), []call{served}, true},
		{"new one is used too late", used("auth-2", time.Second), []call{at(began, 1600*time.Millisecond, other, nil)},
			false},
		{"new one only fails", used("auth-2", time.Second), []call{at(began, 1, other, lost)}, false},

		{"left in time", left("auth-1", 300*time.Millisecond),
			[]call{served, at(began, 400*time.Millisecond, old, nil)}, true},
		{"left too late", left("auth-1", 300*time.Millisecond),
			[]call{served, at(began, 600*time.Millisecond, old, nil)}, false},

		{"has not ended", ended("auth-1"), []call{served}, false},
	} {
		if measured, kept := c.promise.keep(observation{began: began, calls: c.calls, find: find}); kept != c.kept {
			t.Errorf("%s: kept %v (%s), want %v", c.name, kept, measured, c.kept)
		}
	}
}

func TestCountTakesPercentilesOfAnsweredCalls(t *testing.T) {
	var calls []call
	for i := range 100 {
		calls = append(calls, call{took: time.Duration(i+1) * time.Millisecond})
	}
	calls = append(calls, call{took: time.Hour, failure: "timed out"})
	got := count(calls)
	want := numbers{calls: 101, failures: 1, p50: 50 * time.Millisecond, p99: 99 * time.Millisecond}
	if got != want {
		t.Errorf("count %+v, want %+v", got, want)
	}
}
