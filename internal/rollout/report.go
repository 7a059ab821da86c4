package rollout

import (
	"cmp"
	"time"
)

// Limits of the numbers of rounds.
const (
	maxRound  = 1 << 50
	roundJump = 1 << 20 // how far a number named by another process may move one's own
)

// MostMethods is how many methods of streams are named.
const MostMethods = 8

// NearRound returns the round that another process has named, but at most
// a bounded number above own. So no process can use up the numbers of rounds.
func NearRound(own, named uint64) uint64 {
	return min(named, min(own, maxRound)+roundJump, maxRound)
}

// Question is what a controller asks a process in a round of a drain. Its zero
// value asks only for the process's state.
type Question struct {
	Round uint64        // 0: outside any round
	Until Generation    // the answer names the work that reads earlier generations; see Drain.Since
	Wait  time.Duration // how long the process may wait for such work to end before it answers
}

// Report is the answer of one process. Its window is the time since the answer to
// the round After.
type Report struct {
	Process  string         `json:"process"` // registry.Owner.String()
	Round    uint64         `json:"round"`
	After    uint64         `json:"after,omitempty"` // round in which the report's window begins; 0: process start
	Applied  Generation     `json:"applied"`         // newest generation of its log
	Hash     string         `json:"hash"`            // hash of its newest entry
	Knows    []string       `json:"knows,omitempty"` // needs that it understands: see Entry.Needs
	Lacks    []string       `json:"lacks,omitempty"` // needs of the next entry that it does not understand
	Serves   []string       `json:"serves,omitempty"`
	Calls    []string       `json:"calls"` // services that its work may call; null: unknown
	Inflight []Inflight     `json:"held,omitempty"`
	Running  map[string]int `json:"running,omitempty"` // calls that run here, by service/version
	Streams  map[string]int `json:"streams,omitempty"` // those of them that are open streams

	StreamMethods map[string][]string `json:"stream_methods,omitempty"` // of the streams, sorted: at most MostMethods

	Runs  []string `json:"runs,omitempty"`  // service/version that this process runs
	Waits []string `json:"waits,omitempty"` // service/version that waits here for its turn
	Place string   `json:"place,omitempty"` // of the process; see Owner

	// Orphans counts the calls without a trace since the process started. Keys
	// are the service.method that received them, or "made by" and the origin
	// that made them.
	Orphans map[string]int64 `json:"orphans,omitempty"`
}

// Inflight describes work that was alive at some time in the report's window.
type Inflight struct {
	What       string        `json:"what"` // its name: service.method, a job, or a gateway's route
	Generation Generation    `json:"generation"`
	Live       int           `json:"live"`            // alive now; 0: ended within the window
	Calls      []string      `json:"calls,omitempty"` // calls only these; null: any the process may call
	For        time.Duration `json:"for,omitempty"`   // minimum age, by the process's own clock

	// Outside marks work brought by a caller that has not proved to belong to
	// the site. From is the address of the newest such caller.
	Outside bool   `json:"outside,omitempty"`
	From    string `json:"from,omitempty"`
}

// Compare orders by generation, then by What.
func (h Inflight) Compare(o Inflight) int {
	return cmp.Or(h.Generation.Compare(o.Generation), cmp.Compare(h.What, o.What))
}
