package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unique"

	"github.com/skerry/skerry/registry"
)

// Limits of a notification. maxPayload is PostgreSQL's own.
const (
	maxPayload = 8000
	maxChanges = 128  // instances in one; notifySQL writes fewer
	maxLeap    = 1000 // changes that the content may stand for
)

// maxNumber is the highest revision and the highest number in the rule log.
const maxNumber = 1<<62 - 1

// maxAge is the longest time that a process may have been up, or away.
const maxAge = 100 * 365 * 24 * time.Hour

// payload is the content of a notification. Without instances it asks for a read of the tables,
// because the change did not fit.
type payload struct {
	Cluster string            `json:"c"`
	Since   int64             `json:"f"` // the content holds the changes after this revision
	Rev     int64             `json:"r"` // up to this revision
	Pause   int64             `json:"p"` // of a hint: the time in ms over which readers spread
	Changed []json.RawMessage `json:"i"` // entries; nil: a hint
	Rules   bool              `json:"g"` // the rule log has grown; other fields are empty
	Secret  bool              `json:"k"` // the cluster's row of skerry_secret has changed; other fields are empty
}

// entry is an instance as the fragment {row} writes it and as listSQL reads it. Empty values are
// left out.
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
	Leaving  bool              `json:"l,omitempty"`
	Age      int64             `json:"a,omitempty"` // since the provider's start, ms
	Gone     int               `json:"g,omitempty"` // a registry.DepartureKind; 0 while listed
	Since    int64             `json:"c,omitempty"` // since the departure, ms
	Beat     int64             `json:"b,omitempty"` // since the last heartbeat, ms; 0: just written
	Odd      string            `json:"x,omitempty"` // the database's reason why the row is odd
}

// row is an entry with times by this process's clock.
type row struct {
	registry.Instance
	owner  string // as the database spells it
	gone   registry.DepartureKind
	when   time.Time // of the departure
	lapsed bool      // its lease has run out
}

// parsePayload reads a payload and enforces the limits above.
func parsePayload(text string) (payload, error) {
	var n payload
	if len(text) > maxPayload {
		return payload{}, fmt.Errorf("notification: %d bytes, at most %d are allowed", len(text), maxPayload)
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return payload{}, fmt.Errorf("notification: %w", err)
	}
	return n, nil
}

// complete reports whether the notification holds every change between the known
// revision and its own. Otherwise the reader reads the tables.
func (n *payload) complete(known int64) bool {
	return n.Changed != nil && len(n.Changed) <= maxChanges && known > 0 &&
		n.Since <= known && n.Rev > known && n.Rev <= maxNumber && n.Rev-known <= maxLeap
}

// parseRow reads one instance. The error says why the row is odd; entry then has what is known of
// the row's key.
func parseRow(text []byte, now time.Time) (row, entry, error) {
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return row{}, e, fmt.Errorf("its values have other types than skerry writes: %w", err)
	}
	r, err := e.row(now)
	return r, e, err
}

func (e *entry) row(now time.Time) (row, error) {
	if e.Odd != "" {
		return row{}, errors.New(e.Odd)
	}
	owner, err := registry.ParseOwner(e.Owner)
	if err != nil {
		return row{}, fmt.Errorf("owner %.80q: want host/pid/epoch", e.Owner)
	}
	if owner.String() != e.Owner || len(e.Owner) > 400 || !printable(e.Owner) {
		return row{}, fmt.Errorf("owner %.80q is not spelled as skerry does", e.Owner)
	}
	owner.Host = once(owner.Host)
	for _, ms := range []int64{e.Age, e.Since} {
		if ms > maxAge.Milliseconds() {
			return row{}, fmt.Errorf("a time of it lies %d days back", ms/(24*time.Hour).Milliseconds())
		}
	}
	r := row{owner: e.Owner, Instance: registry.Instance{
		Service: e.Service, Version: e.Version, Host: e.Host, Port: e.Port, Protocol: e.Protocol,
		Zone: e.Zone, Weight: e.Weight, TLS: e.TLS, Leaving: e.Leaving, Tags: e.Tags, Owner: owner,
		Started: ago(now, e.Age), Heard: uint32(ago(now, e.Beat).Unix()),
	}}
	switch registry.DepartureKind(e.Gone) {
	case 0:
	case registry.Deregistered, registry.Expired, registry.Silent:
		r.gone, r.when = registry.DepartureKind(e.Gone), ago(now, e.Since)
	}
	if e.Gone != int(r.gone) {
		return row{}, fmt.Errorf("gone is %d; skerry knows 0 (listed), 1 (withdrawn) and 2 (expired)", e.Gone)
	}
	if err := r.Instance.Check(); err != nil {
		return row{}, err
	}
	r.Service, r.Version, r.Host = once(r.Service), once(r.Version), once(r.Host)
	r.Protocol, r.Zone = once(r.Protocol), once(r.Zone)
	return r, nil
}

// ago returns the time some milliseconds before now. A time ahead of now, left from a clock that
// was set back, becomes now.
func ago(now time.Time, ms int64) time.Time {
	return now.Add(-time.Duration(min(max(0, ms), maxAge.Milliseconds())) * time.Millisecond)
}

// once interns a string that many instances share.
func once[S ~string](s S) S { return unique.Make(s).Value() }

// newEntry returns the entry of a registration. Its age is measured by the monotonic clock.
func newEntry(in registry.Instance, now time.Time) entry {
	age := min(max(0, now.Sub(in.Started)), maxAge)
	if in.Started.IsZero() {
		age = 0
	}
	return entry{Service: in.Service, Version: in.Version, Host: in.Host, Port: in.Port, Protocol: in.Protocol,
		Zone: in.Zone, Weight: in.Weight, TLS: in.TLS, Leaving: in.Leaving, Tags: in.Tags, Age: age.Milliseconds()}
}
