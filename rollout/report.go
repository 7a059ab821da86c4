package rollout

import (
	"cmp"
	"time"
)

// Bounds of the numbers of rounds.
const (
	maxRound  = 1 << 50
	roundJump = 1 << 20 // how far a number that another process names moves one's own
)

// NearRound is the round that another process names, or, where that is far above
// one's own, a round on the way there. No process can use the numbers up.
func NearRound(own, named uint64) uint64 {
	return min(named, min(own, maxRound)+roundJump, maxRound)
}

// Question is what a controller asks a process in a round of a drain. Its
// zero value asks only where the process stands.
type Question struct {
	Round uint64        // 0 belongs to no round
	Until Generation    // what reads an older one is to be named; see Drain.Since
	Wait  time.Duration // the answer may take so long, in the hope that nothing is to be named
}

// Report is what one process says in a round.
type Report struct {
	Process  string         `json:"process"` // registry.Owner.String()
	Round    uint64         `json:"round"`
	After    uint64         `json:"after,omitempty"` // the round with whose answer the window of this one begins; 0: the process's start
	Applied  Generation     `json:"applied"`         // newest generation of its log
	Hash     string         `json:"hash"`            // of its log
	Knows    []string       `json:"knows,omitempty"` // what entries may need of it: see Entry.Needs
	Lacks    []string       `json:"lacks,omitempty"` // what the entry after the last needs, and it does not know
	Serves   []string       `json:"serves,omitempty"`
	Calls    []string       `json:"calls"` // services that its work may call; null: it does not say
	Inflight []Inflight     `json:"held,omitempty"`
	Running  map[string]int `json:"running,omitempty"` // by service/version: calls being executed here

	Runs  []string `json:"runs,omitempty"`  // service/version that this process runs
	Waits []string `json:"waits,omitempty"` // service/version whose turn to run it waits for
	Place string   `json:"place,omitempty"` // of the process; see Owner

	// Orphans are the calls since its start that belonged to no trace: by
	// service.method where they came in, or by "made by" and who made them.
	Orphans map[string]int64 `json:"orphans,omitempty"`
}

// Inflight is work of a process that was alive at some time in the report's window.
type Inflight struct {
	What       string        `json:"what"` // service.method, a job, a gateway's route
	Generation Generation    `json:"generation"`
	Live       int           `json:"live"`            // how many are alive now; 0: they have ended in the window
	Calls      []string      `json:"calls,omitempty"` // whom alone it still calls; null: whomever the process may call
	For        time.Duration `json:"for,omitempty"`   // it is at least so old, by the process's own clock

	// Outside: it was brought by a caller that has not shown that it is of the
	// site, the newest of them at the address From.
	Outside bool   `json:"outside,omitempty"`
	From    string `json:"from,omitempty"`
}

// Compare orders by generation, then by What.
func (h Inflight) Compare(o Inflight) int {
	return cmp.Or(h.Generation.Compare(o.Generation), cmp.Compare(h.What, o.What))
}
