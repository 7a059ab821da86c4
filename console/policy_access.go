package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/policy"
)

// accessPage answers: which caller may call which service, and does it?
type accessPage struct {
	Lead    phrase      `json:"-"`
	Number  uint64      `json:"policy"`
	Service string      `json:"-"` // filters
	Caller  string      `json:"-"`
	Callers []string    `json:"callers"`
	More    int         `json:"-"` // callers that are not shown
	Rows    []accessRow `json:"services"`
	Pager   pager       `json:"-"`
	Denied  []deniedRow `json:"denied"`
	Unused  []unusedRow `json:"unused"`
	Since   time.Time   `json:"-"`                // uses before that have no time
	Silent  []string    `json:"silent,omitempty"` // processes that do not tell what they refuse
}

// Now reports whether the last call was in this moment, as precisely as the console looks.
func (c accessCell) Now() bool { return c.Ago > 0 && c.Ago < 2*watchedPeriod }

// accessRow is one callee.
type accessRow struct {
	Service string       `json:"service"`
	List    string       `json:"list"` // none, audit or enforce
	Cells   []accessCell `json:"cells"`
}

// accessCell is one caller at one callee.
type accessCell struct {
	Caller string        `json:"caller"`
	State  string        `json:"state"` // free (no list), allowed, counted, refused, partly
	Used   bool          `json:"used"`
	Calls  int64         `json:"calls,omitempty"`  // since the starts of the processes
	Ago    time.Duration `json:"-"`                // since the last call; 0: not known
	AgoS   float64       `json:"ago_s,omitempty"`  // the same
	Denied int64         `json:"denied,omitempty"` // calls that the list has refused or counted
	Link   string        `json:"-"`                // to the form that changes it
}

// deniedRow is calls that an access list refuses, or would refuse.
type deniedRow struct {
	Service, Caller, Proof, Method, Item string
	Calls                                int64
	Refused                              bool
	Ago                                  time.Duration `json:"-"`
	Link                                 string        `json:"-"`
}

// unusedRow is a right that an item of access gives a caller by its name, and that no process running now has used.
type unusedRow struct {
	Service string    `json:"service"`
	Caller  string    `json:"caller"`
	Item    string    `json:"item"`
	Last    time.Time `json:"last_use,omitzero"` // zero: not since the console keeps this
}

// Bounds of the page.
const (
	shownCallers = 12
	shownDenied  = 50
	shownUnused  = 50
)

func (s *snapshot) accessPage(r *http.Request) (any, error) {
	q := r.URL.Query()
	p := &accessPage{Number: s.Policy.Current.Number, Service: q.Get("service"), Caller: q.Get("caller"),
		Since: s.Begun, Denied: []deniedRow{}, Unused: []unusedRow{}}
	table := s.Policy.table()
	uses, denied := map[useKey]use{}, map[useKey]int64{}
	for _, u := range s.Policy.Uses {
		uses[useKey{u.Caller, u.Service}] = u
	}
	if len(s.Policy.Uses) == 0 { // a site in memory
		for _, f := range s.Flows {
			k := useKey{f.Caller, f.Service}
			uses[k] = use{f.Caller, f.Service, uses[k].Calls + f.Calls, s.At}
		}
	}
	p.tellDenied(s, denied)
	callers, services := map[string]int64{}, map[string]bool{}
	add := func(k useKey, calls int64) {
		if k.caller != "" && strings.Contains(k.caller, p.Caller) && strings.Contains(k.service, p.Service) {
			callers[k.caller] += calls
			services[k.service] = true
		}
	}
	for k, u := range uses {
		add(k, u.Calls)
	}
	for k, n := range denied {
		add(k, n)
	}
	for _, row := range s.services() {
		if strings.Contains(row.Name, p.Service) {
			services[row.Name] = true
		}
	}
	p.named(table, services, callers)
	p.tellUnused(table, services, uses)
	p.Callers = sorted(callers)
	if p.More = max(0, len(p.Callers)-shownCallers); p.More > 0 { // those with most calls
		slices.SortStableFunc(p.Callers, func(a, b string) int { return cmp.Compare(callers[b], callers[a]) })
		p.Callers = p.Callers[:shownCallers]
		slices.Sort(p.Callers)
	}
	var names []string
	names, p.Pager = paged(sorted(services), r)
	guarded := 0
	for name := range services {
		if access, _ := table.InForce(name); access != nil {
			guarded++
		}
	}
	for _, name := range names {
		row := accessRow{Service: name, List: "none"}
		if access, _ := table.InForce(name); access != nil && access.Enforce {
			row.List = "enforce"
		} else if access != nil {
			row.List = "audit"
		}
		for _, caller := range p.Callers {
			k := useKey{caller, name}
			row.Cells = append(row.Cells, s.cell(table, k, uses[k], denied[k]))
		}
		p.Rows = append(p.Rows, row)
	}
	p.Lead = say("access.lead", "n", guarded, "all", len(services))
	return p, nil
}

// named adds the callers that items of access name.
func (p *accessPage) named(t *policy.Table, services map[string]bool, callers map[string]int64) {
	for name := range services {
		_, items := t.InForce(name)
		for _, i := range items {
			if string(i.Kind) != "allow" && string(i.Kind) != "deny" {
				continue
			}
			for _, caller := range i.Match.Caller {
				if !strings.ContainsAny(caller, "*!") && strings.Contains(caller, p.Caller) {
					callers[caller] += 0
				}
			}
		}
	}
}

// tellUnused lists the rights that are not used, by service and caller.
func (p *accessPage) tellUnused(t *policy.Table, services map[string]bool, uses map[useKey]use) {
	for _, name := range sorted(services) {
		_, items := t.InForce(name)
		for _, i := range items {
			if i.Kind != "allow" {
				continue
			}
			for _, caller := range i.Match.Caller {
				if strings.ContainsAny(caller, "*!") || !strings.Contains(caller, p.Caller) ||
					uses[useKey{caller, name}].Calls > 0 || len(p.Unused) == shownUnused {
					continue
				}
				p.Unused = append(p.Unused, unusedRow{name, caller, i.Key, uses[useKey{caller, name}].Last})
			}
		}
	}
}

// cell judges one caller at one callee.
func (s *snapshot) cell(t *policy.Table, k useKey, u use, denied int64) accessCell {
	c := accessCell{Caller: k.caller, State: verdict(t, k), Used: u.Calls > 0, Calls: u.Calls, Denied: denied}
	if !u.Last.IsZero() {
		c.Ago = max(s.At.Sub(u.Last), time.Millisecond)
		c.AgoS = c.Ago.Seconds()
	}
	verb := "deny"
	if c.State == "refused" || c.State == "counted" {
		verb = "allow"
	}
	c.Link = accessLink(k.service, k.caller, "", verb)
	return c
}

// accessLink leads to the form with an item of access.
func accessLink(service, caller, method, verb string) string {
	q := url.Values{"kind": {"access"}, "service": {service}, "caller": {caller}, "verb": {verb}}
	if method != "" {
		q.Set("method", method)
	}
	if verb == "deny" {
		q.Set("default", "allow")
	}
	return "/policy/edit?" + q.Encode()
}

// verdict is what a policy says of a caller's calls of all methods of a service.
func verdict(t *policy.Table, k useKey) string {
	said := map[string]bool{}
	if access, _ := t.InForce(k.service); access == nil {
		return "free"
	}
	t.Each(k.service, func(method string, r *policy.Rules) {
		allowed, enforced, _ := r.Access(&policy.Request{Caller: k.caller, Method: cmp.Or(method, "\x00")})
		switch {
		case allowed:
			said["allowed"] = true
		case enforced:
			said["refused"] = true
		default:
			said["counted"] = true
		}
	})
	if len(said) == 1 {
		return sorted(said)[0]
	}
	return "partly"
}

// tellDenied lists what the callees have counted, and adds it up.
func (p *accessPage) tellDenied(s *snapshot, sums map[useKey]int64) {
	d := s.Policy.Denied
	if d == nil {
		return
	}
	p.Silent = sorted(d.Silent)
	for _, c := range d.Calls {
		sums[useKey{c.Caller, c.Service}] += c.Calls
		shown := strings.Contains(c.Caller, p.Caller) && strings.Contains(c.Service, p.Service)
		if shown && len(p.Denied) < shownDenied {
			p.Denied = append(p.Denied, deniedRow{c.Service, c.Caller, c.Proof, c.Method, c.Item, c.Calls, c.Enforced,
				max(s.At.Sub(c.Last), time.Millisecond), accessLink(c.Service, c.Caller, c.Method, "allow")})
		}
	}
}
