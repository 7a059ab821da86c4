package postgres

import (
	"encoding/json"
	"fmt"
	"time"
	"unique"

	"github.com/skerry/skerry/registry"
)

// notice is the payload of a notification. Without instances it is a hint to
// read: the change did not fit.
type notice struct {
	Cluster string  `json:"c"`
	Since   int64   `json:"f"` // what is told are the changes after it
	Rev     int64   `json:"r"` // up to this one
	Pause   int64   `json:"p"` // of a hint: read within this time, not all at once; ms
	Changed []entry `json:"i"` // nil: a hint
	Rules   bool    `json:"g"` // the rule log has grown; nothing else is said
}

// entry is an instance as the fragment {row} writes it and as listSQL reads
// it: empty values are left out.
type entry struct {
	Service  string            `json:"s"`
	Version  string            `json:"v,omitempty"`
	Host     string            `json:"h"`
	Port     int               `json:"p"`
	Owner    string            `json:"o,omitempty"`
	Protocol registry.Protocol `json:"pr,omitempty"`
	Zone     string            `json:"z,omitempty"`
	Weight   int               `json:"w,omitempty"`
	TLS      bool              `json:"tls,omitempty"`
	Tags     map[string]string `json:"t,omitempty"`
	Age      int64             `json:"a,omitempty"` // since the provider's start, ms
	Gone     uint8             `json:"g,omitempty"` // a registry.DepartureKind; 0 while listed
	Since    int64             `json:"c,omitempty"` // since the departure, ms
	Beat     int64             `json:"b,omitempty"` // since the last heartbeat, ms; 0 = it has just been written
}

// row is an entry on this process's clock.
type row struct {
	registry.Instance
	owner string // as the database spells it
	gone  registry.DepartureKind
	when  time.Time // of the departure
}

// channel is the name that notifications of the cluster have. Clusters that
// share it, because PostgreSQL limits its length, tell by the payload.
func channel(cluster string) string {
	const limit = 63 - len("skerry:")
	return "skerry:" + cluster[:min(len(cluster), limit)]
}

func parseNotice(payload string) (notice, error) {
	var n notice
	if err := json.Unmarshal([]byte(payload), &n); err != nil {
		return notice{}, fmt.Errorf("notification: %w", err)
	}
	return n, nil
}

func (e *entry) row(now time.Time) (row, error) {
	owner, err := registry.ParseOwner(e.Owner)
	if err != nil {
		return row{}, err
	}
	owner.Host = once(owner.Host)
	r := row{owner: e.Owner, Instance: registry.Instance{
		Service: once(e.Service), Version: once(e.Version), Host: once(e.Host), Port: e.Port, Protocol: once(e.Protocol),
		Zone: once(e.Zone), Weight: e.Weight, TLS: e.TLS, Tags: e.Tags, Owner: owner,
		Started: now.Add(-time.Duration(e.Age) * time.Millisecond),
		Heard:   uint32(now.Add(-time.Duration(e.Beat) * time.Millisecond).Unix()),
	}}
	if e.Gone != 0 {
		r.gone = registry.DepartureKind(e.Gone)
		r.when = now.Add(-time.Duration(e.Since) * time.Millisecond)
	}
	return r, registry.Check(r.Instance)
}

// once is a string that many instances share, kept in memory once.
func once[S ~string](s S) S { return unique.Make(s).Value() }

// newEntry is what is written of a wish. Its age is a length of time, by the
// monotonic clock.
func newEntry(in registry.Instance, now time.Time) entry {
	return entry{Service: in.Service, Version: in.Version, Host: in.Host, Port: in.Port, Protocol: in.Protocol,
		Zone: in.Zone, Weight: in.Weight, TLS: in.TLS, Tags: in.Tags, Age: max(0, now.Sub(in.Started).Milliseconds())}
}
