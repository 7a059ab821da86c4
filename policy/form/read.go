package form

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/policy"
)

// MaxText is the longest text of a policy, in bytes.
const MaxText = 512 << 10

// Version is the version of the form that this package reads: the value of the first key, policy.
const Version = "1"

// Problem is one mistake in a text, or one part of it that is not obeyed.
type Problem struct {
	Line   int    `json:"line,omitzero"`   // 1 for the first; 0: of the whole text
	Column int    `json:"column,omitzero"` // 1 for the first
	Key    string `json:"key,omitzero"`    // such as services.auth.limits[1].per
	Text   string `json:"text"`            // the mistake and its cure
	Note   bool   `json:"note,omitzero"`   // it may be meant so

	// Protective is true for a part of access or limits that a process leaves out.
	Protective bool `json:"protective,omitzero"`

	part string // that is left out: see reading.partOf
}

// String returns, for example, 7:5: services.auth.limit: no such key; did you mean limits?
func (p Problem) String() string {
	at := ""
	if p.Line > 0 {
		at = fmt.Sprintf("%d:%d: ", p.Line, p.Column)
	}
	if p.Key != "" {
		at += p.Key + ": "
	}
	return at + p.Text
}

// ErrText: the text is no policy that this version of skerry reads, so none of it is obeyed.
var ErrText = errors.New("no policy that this version of skerry reads")

// reading is one text on its way to a policy.
type reading struct {
	doc   yamlfile.Document
	file  file
	found []Problem
}

// read decodes a text. whole is an error for which nothing of the text is used.
func read(text []byte) (r *reading, whole error) {
	r = &reading{}
	if len(text) > MaxText {
		return r, fmt.Errorf("%w: %d bytes, at most %d are read", ErrText, len(text), MaxText)
	}
	r.doc = yamlfile.Decode(text, &r.file, nil)
	for _, p := range r.doc.Problems {
		r.found = append(r.found, Problem{Line: p.Line, Column: p.Column, Key: p.Key, Text: p.Text})
	}
	if len(r.doc.Lines) == 0 && len(r.found) > 0 { // it is no YAML, or no mapping
		return r, fmt.Errorf("%w: %s", ErrText, r.found[0])
	}
	_, said := r.doc.Lines["policy"]
	switch {
	case !said:
		return r, fmt.Errorf("%w: its first key is missing; write policy: %s", ErrText, Version)
	case r.file.Policy != Version:
		return r, fmt.Errorf("%w: it has the form %q, this one reads %q; upgrade skerry here",
			ErrText, r.file.Policy, Version)
	}
	for _, key := range []string{"services", "lanes", "plans"} {
		if line, there := r.doc.Lines[key]; there && line < r.doc.Lines["policy"] {
			r.add("policy", "policy: %s stands first, so that every version of skerry knows how to read the rest",
				Version)
			break
		}
	}
	if n := r.file.items(); n > maxItems {
		return r, fmt.Errorf("%w: it has %d items, at most %d are read", ErrText, n, maxItems)
	}
	return r, nil
}

// Bounds of what is read: so many items, and so many mistakes in what is otherwise read.
const (
	maxItems    = 50_000
	maxMistakes = 1_000
)

func (r *reading) add(key, format string, args ...any) {
	if len(r.found) <= maxMistakes {
		r.found = append(r.found, r.place(Problem{Key: key, Text: fmt.Sprintf(format, args...)}))
	}
}

// place fills in where a key, or the nearest one around it, stands.
func (r *reading) place(p Problem) Problem {
	for key := p.Key; key != ""; key = parent(key) {
		if line := r.doc.Lines[key]; line > 0 {
			p.Line, p.Column = line, r.doc.Columns[key]
			break
		}
	}
	return p
}

// policy converts what was decoded, and checks it.
func (r *reading) policy(without map[string]bool) (p *policy.Policy, found []Problem) {
	before := r.found
	r.found = nil
	c := &converter{problem: r.add, without: without, lines: r.doc.Lines, bad: map[string]bool{}}
	for _, b := range before {
		c.bad[b.Key] = true
	}
	p = c.policy(&r.file)
	for _, f := range policy.Check(p) {
		r.found = append(r.found, r.place(Problem{Key: f.Key, Text: f.Text, Note: f.Note}))
	}
	found, r.found = r.found, before
	return p, found
}

func sorted(list []Problem) []Problem {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return list
}

// Read reads a policy strictly. The policy is nil when a problem is no note. Problems are in the order of the text.
func Read(text []byte) (*policy.Policy, []Problem) {
	r, err := read(text)
	if err != nil {
		if len(r.found) == 0 {
			r.add("policy", "%v", err)
		}
		return nil, sorted(r.found)
	}
	p, found := r.policy(nil)
	all := sorted(append(r.found, found...))
	if slices.ContainsFunc(all, func(p Problem) bool { return !p.Note }) {
		return nil, all
	}
	return p, all
}

// rounds bounds how often what is left of a text is checked again. Each round leaves out more.
const rounds = 8

// Understand reads a policy as a process obeys it: what it does not understand is left out, item by item, and is in
// lost. The error wraps [ErrText] when nothing can be obeyed.
func Understand(text []byte) (p *policy.Policy, lost []Problem, err error) {
	r, err := read(text)
	if err != nil {
		return nil, nil, err
	}
	if r.doc.Cut {
		return nil, nil, fmt.Errorf("%w: more of it than can be named is not understood, such as %s",
			ErrText, r.found[0])
	}
	without := map[string]bool{}
	for _, found := range r.found {
		lost = append(lost, r.leave(without, found))
	}
	for range rounds {
		p, found := r.policy(without)
		found = slices.DeleteFunc(found, func(p Problem) bool { return p.Note })
		if len(found) == 0 {
			return p, sorted(lost), nil
		}
		if len(found) > maxMistakes {
			return nil, nil, fmt.Errorf("%w: more than %d parts of it are not understood, such as %s",
				ErrText, maxMistakes, found[0])
		}
		for _, f := range found {
			lost = append(lost, r.leave(without, f))
		}
	}
	return nil, nil, fmt.Errorf("%w: what is left of it contradicts itself", ErrText)
}

// leave marks the part that a problem is in, to be left out.
func (r *reading) leave(without map[string]bool, p Problem) Problem {
	p.part, p.Protective = r.partOf(p.Key)
	without[p.part] = true
	return p
}

// partOf returns the part of a text that is obeyed whole or not at all: an item, an access, a breaker, a setting of a
// service, the settings of a method.
func (r *reading) partOf(key string) (part string, protective bool) {
	if inner, ok := strings.CutPrefix(key, "lanes["); ok {
		number, _, _ := strings.Cut(inner, "]")
		return "lanes[" + number + "]", false
	}
	prefix, services := "", r.file.Services
	if name, inner, ok := nameIn(r.file.Plans, "plans.", key); ok {
		prefix, services = "plans."+name+".", r.file.Plans[name].Services
		if !strings.HasPrefix(inner, "services.") {
			return "plans." + name, false
		}
		key = inner
	}
	name, inner, ok := nameIn(services, "services.", key)
	if !ok {
		return prefix + key, false
	}
	service := prefix + "services." + name
	switch first, rest, _ := strings.Cut(inner, "."); first {
	case "":
		return service, false
	case "access", "breaker", "outlier":
		return service + "." + first, first == "access"
	case "methods":
		method, _, _ := strings.Cut(rest, ".")
		return service + ".methods." + method, false
	default: // limits[1].per, timeout
		return service + "." + first, strings.HasPrefix(first, "limits")
	}
}

// nameIn finds the name of a map's entry in a key; a name may have dots.
func nameIn[T any](m map[string]T, prefix, key string) (name, inner string, ok bool) {
	after, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return "", "", false
	}
	found := false
	for known := range m {
		rest, fits := strings.CutPrefix(after, known)
		if fits && (rest == "" || rest[0] == '.') && (!found || len(known) > len(name)) {
			name, inner, found = known, strings.TrimPrefix(rest, "."), true
		}
	}
	return name, inner, found
}

// KeepAccess returns the policy with the access lists of last for the services of which [Understand] has left out the
// access.
func KeepAccess(p, last *policy.Policy, lost []Problem) *policy.Policy {
	services := map[string]bool{}
	for _, l := range lost {
		for name := range p.Services {
			services[name] = services[name] || l.part == "services."+name+".access"
		}
	}
	maps.DeleteFunc(services, func(_ string, lost bool) bool { return !lost })
	if len(services) == 0 || last == nil {
		return p
	}
	next := *p
	next.Services = maps.Clone(p.Services)
	for name := range services {
		kept := last.Services[name]
		if kept == nil || kept.Access == nil {
			continue
		}
		s := *p.Services[name]
		s.Access = kept.Access
		s.Items = slices.Clone(s.Items)
		for _, i := range kept.Items {
			if i.Kind == "allow" || i.Kind == "deny" {
				s.Items = append(s.Items, i)
			}
		}
		next.Services[name] = &s
	}
	return &next
}

// LosesAccess reports whether [Understand] has left out the access lists of a service for this problem.
func (p Problem) LosesAccess() bool { return strings.HasSuffix(p.part, ".access") }
