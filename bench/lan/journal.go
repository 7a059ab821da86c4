package lan

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// journal is what the processes of a site have told so far.
type journal struct {
	mu    sync.Mutex
	ready map[int]bool
	known []map[int]bool // by the host that lists
	away  []map[int]time.Time
	last  time.Time // of the last change of a list
	calls []call
	dead  map[int]bool
}

// call is a call as its caller saw it; host is -1 when none was chosen.
type call struct {
	caller, host int
	begun        time.Time
	ok           bool
}

func newJournal(hosts int) *journal {
	j := &journal{dead: map[int]bool{}, ready: map[int]bool{}, known: make([]map[int]bool, hosts),
		away: make([]map[int]time.Time, hosts)}
	for host := range hosts {
		j.forget(host)
	}
	return j
}

// forget drops what a host has told: its process is a new one.
func (j *journal) forget(host int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.ready, host)
	j.known[host], j.away[host] = map[int]bool{}, map[int]time.Time{}
}

// bury notes that a host's process is dead: what it has told counts no more.
func (j *journal) bury(host int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dead[host] = true
}

func (j *journal) isBuried(host int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dead[host]
}

// line takes a line of a host's process.
func (j *journal) line(from int, text string) {
	var kind, outcome string
	var ns int64
	host := -1
	if n, _ := fmt.Sscan(text, &kind, &ns, &host, &outcome); n == 0 {
		return
	}
	at := time.Unix(0, ns)
	j.mu.Lock()
	defer j.mu.Unlock()
	switch kind {
	case "ready":
		j.ready[from] = true
	case "+":
		j.known[from][host], j.last = true, at
	case "-":
		delete(j.known[from], host)
		j.away[from][host], j.last = at, at
	case "call":
		j.calls = append(j.calls, call{caller: from, host: host, begun: at, ok: outcome == "ok"})
	}
}

// allReady reports whether so many processes have started.
func (j *journal) allReady(hosts int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.ready) == hosts
}

// complete is the time at which the last host came to know all, when all do.
func (j *journal) complete() (time.Time, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, known := range j.known {
		if len(known) != len(j.known) {
			return time.Time{}, false
		}
	}
	return j.last, true
}

// lacking says which hosts each host lacks.
func (j *journal) lacking() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	for host, known := range j.known {
		if n := len(j.known) - len(known); n > 0 {
			fmt.Fprintf(&b, " host %d lacks %d;", host, n)
		}
	}
	return b.String()
}

// off is the time at which a host went from the last list but its own, when
// it has.
func (j *journal) off(host int) (last time.Time, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for from, known := range j.known {
		if from == host || j.dead[from] {
			continue
		}
		if known[host] {
			return last, false
		}
		if at := j.away[from][host]; at.After(last) {
			last = at
		}
	}
	return last, true
}

// lastCall is when the last call by another host that went to a host was
// begun, and how many there were since a time.
func (j *journal) lastCall(host int, since time.Time) (last time.Time, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.calls {
		if c.host != host || c.caller == host || c.begun.Before(since) {
			continue
		}
		n++
		if c.begun.After(last) {
			last = c.begun
		}
	}
	return last, n
}

// drop forgets all calls.
func (j *journal) drop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = nil
}
