package health

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// rowJSON is a Row in log files and in `skerry stats --json`. Times of a call are microseconds.
type rowJSON struct {
	From     time.Time        `json:"from"`
	To       time.Time        `json:"to"`
	Side     string           `json:"side"`
	Service  string           `json:"service"`
	Method   string           `json:"method"`
	Peer     string           `json:"peer,omitempty"`
	Version  string           `json:"version,omitempty"` // of the callee; logs of older programs lack it
	Calls    int64            `json:"calls"`
	Failures int64            `json:"failures"`
	Outcomes map[string]int64 `json:"outcomes"` // without zero counts
	SumUS    float64          `json:"sum_us"`
	P50US    float64          `json:"p50_us"`
	P99US    float64          `json:"p99_us"`
	MaxUS    float64          `json:"max_us"`
}

// MarshalJSON writes the row with named outcomes and microseconds.
func (r Row) MarshalJSON() ([]byte, error) {
	j := rowJSON{
		From:     r.From,
		To:       r.To,
		Side:     r.Side.String(),
		Service:  r.Service,
		Method:   r.Method,
		Peer:     r.Peer,
		Version:  r.Version,
		Calls:    r.Calls(),
		Failures: r.Failures(),
		Outcomes: map[string]int64{},
		SumUS:    microseconds(r.Sum),
		P50US:    microseconds(r.P50),
		P99US:    microseconds(r.P99),
		MaxUS:    microseconds(r.Max),
	}
	for o, n := range r.Outcomes {
		if n != 0 {
			j.Outcomes[Outcome(o).String()] = n
		}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads the text of MarshalJSON. Outcomes of a newer skerry that this version does
// not know count as internal.
func (r *Row) UnmarshalJSON(b []byte) error {
	var j rowJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	side := Client
	switch j.Side {
	case "client":
	case "server":
		side = Server
	default:
		return fmt.Errorf("side %q: want client or server", j.Side)
	}
	*r = Row{
		Key:  Key{Side: side, Service: j.Service, Method: j.Method, Peer: j.Peer, Version: j.Version},
		From: j.From, To: j.To,
		Sum: duration(j.SumUS), P50: duration(j.P50US), P99: duration(j.P99US), Max: duration(j.MaxUS),
	}
	for name, n := range j.Outcomes {
		o := slices.Index(outcomeNames[:], name)
		if o < 0 {
			o = int(Internal)
		}
		r.Outcomes[o] += n
	}
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d) / 1e3 }

func duration(us float64) time.Duration { return time.Duration(us*1e3 + 0.5) }
