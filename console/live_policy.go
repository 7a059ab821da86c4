package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// deniedPeriod is the time between two questions for calls that access lists refuse.
const deniedPeriod = 15 * time.Second

// policyMemory is what a live site remembers of the policy between its looks.
type policyMemory struct {
	read     *policy.Policy // of the text with the hash; nil: it can't be read
	hash     string
	uses     map[useKey]use
	kept     []keptUse // of the last run, until the first look
	dir      string    // where uses are kept; "": nowhere
	keptAt   time.Time // when they were
	denied   *policychange.Accessed
	deniedAt time.Time
}

type useKey struct{ caller, service string }

// mostUses bounds the callers and services that are remembered.
const mostUses = 20_000

// table compiles the policy in force, without what has ended. It reads a text once.
func (m *policyMemory) table(e policylog.Entry, applied map[uint64]time.Duration) *policy.Table {
	if e.Number == 0 {
		return nil
	}
	if m.hash != e.Hash() {
		m.hash = e.Hash()
		m.read, _, _ = form.Understand([]byte(e.Text))
	}
	if m.read == nil {
		return nil
	}
	return policychange.Compile(m.read, e.On, applied)
}

// tellUses adds up which caller has called which service. A caller is named as its callees name it.
func (m *policyMemory) tellUses(s *snapshot, counts []control.Counts, known []control.Identity) {
	names, services := map[string]string{}, servicesOf(s.Entries)
	for _, id := range known {
		names[id.Process] = id.Caller
		if host, _, found := strings.Cut(id.Addr, ":"); id.Caller == "" && found {
			names[id.Process] = "ip:" + host
		}
	}
	sums := map[useKey]int64{}
	for _, c := range counts {
		caller := names[c.Process]
		if caller == "" {
			caller = services[c.Process]
		}
		for _, of := range c.Slower {
			for _, r := range of {
				if r.Made && r.Calls > 0 && caller != "" && !strings.HasPrefix(r.Service, internalPrefix) {
					sums[useKey{caller, r.Service}] += r.Calls
				}
			}
		}
	}
	first := m.uses == nil
	if first {
		m.uses = map[useKey]use{}
		for _, k := range m.kept {
			m.uses[useKey{k.Caller, k.Service}] = use{Caller: k.Caller, Service: k.Service, Last: k.Last}
		}
		m.kept, m.keptAt = nil, s.At
	}
	for k, calls := range sums {
		was, seen := m.uses[k]
		if !seen && len(m.uses) >= mostUses {
			continue
		}
		now := use{k.caller, k.service, calls, was.Last}
		if !first && calls > was.Calls {
			now.Last = s.At
		}
		m.uses[k] = now
	}
	for _, u := range m.uses {
		s.Policy.Uses = append(s.Policy.Uses, u)
	}
	slices.SortFunc(s.Policy.Uses, func(a, b use) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Caller, b.Caller))
	})
}

// keptUse is the last call of a service by a caller, as the file has it.
type keptUse struct {
	Caller  string    `json:"caller"`
	Service string    `json:"service"`
	Last    time.Time `json:"last"`
}

const (
	usesFile   = "console-uses.json"
	usesPeriod = 10 * time.Minute // after which they are kept again
)

// load takes the last uses that the last run has kept.
func (m *policyMemory) load() error {
	path := filepath.Join(m.dir, usesFile)
	if err := private(path); err != nil {
		return err
	}
	text, err := statedir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept []keptUse
	if err := json.Unmarshal(text, &kept); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	m.kept = kept[:min(len(kept), mostUses)]
	return nil
}

// save keeps the last uses, when that was not done for a while, and at the end.
func (m *policyMemory) save(now time.Time, end bool) error {
	if m.dir == "" || m.uses == nil || !end && now.Sub(m.keptAt) < usesPeriod {
		return nil
	}
	m.keptAt = now
	list := []keptUse{}
	for _, u := range m.uses {
		if !u.Last.IsZero() {
			list = append(list, keptUse{u.Caller, u.Service, u.Last})
		}
	}
	slices.SortFunc(list, func(a, b keptUse) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Service, b.Service),
			strings.Compare(a.Caller, b.Caller))
	})
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return statedir.WriteFile(filepath.Join(m.dir, usesFile), text)
}

// saveUses keeps the last uses of rights.
func (l *live) saveUses(end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.policy.save(time.Now(), end); err != nil {
		cmp.Or(l.cfg.Logger, slog.Default()).Warn("a restart of the console will forget when rights were used last: "+
			"that can't be kept", "err", err)
	}
}

// lookAtDenied asks for the calls that access lists refuse, where the policy has such lists.
func (l *live) lookAtDenied(ctx context.Context) {
	m := &l.policy
	if m.read == nil || !guards(m.read) {
		m.denied = nil
		return
	}
	if m.denied != nil && time.Since(m.deniedAt) < deniedPeriod {
		return
	}
	d, err := control.NewPolicies(l.cfg.Node, control.Operator{}).Denied(ctx)
	if err != nil {
		return // what was told before stays, with its time
	}
	x := policychange.AccessedOf(l.cfg.Cluster, "", d)
	m.denied, m.deniedAt = &x, time.Now()
}

// guards reports whether a policy has access lists.
func guards(p *policy.Policy) bool {
	has := func(services map[string]*policy.Service) bool {
		for _, s := range services {
			if s.Access != nil {
				return true
			}
		}
		return false
	}
	for _, plan := range p.Plans {
		if has(plan.Services) {
			return true
		}
	}
	return has(p.Services)
}
