package form

import (
	"errors"
	"testing"

	"github.com/skerry/skerry/policy"
)

// FuzzRead: no text makes a reader fail in another way than by its errors; what Read takes is understood whole and
// means the same to a process; what a process obeys has no fault.
func FuzzRead(f *testing.F) {
	for _, text := range []string{"", "policy: 1\n", "policy: 2\n",
		"policy: 1\nservices: {a: {limits: [{rate: 1, per: site}]}}\n",
		"policy: 1\nservices:\n  a: &x {timeout: 1s}\n  b: {<<: *x, retries: 0}\n",
		"policy: 1\nlanes: [{name: a, match: {ip: '10.*'}, percent: 0.5}]\n",
		"policy: 1\nservices: {a: {fallback: [{on: always, reply: {a: [1, 2.5, no, ~, 'x']}, expires: 1h}]}}\n",
		"policy: 1\nplans: {p: {services: {a: {access: {default: deny, deny: [{caller: '!a*'}]}}}}}\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		strict, problems := Read(text)
		p, lost, err := Understand(text)
		if strict == nil && len(problems) == 0 {
			t.Fatal("a text is refused without a reason")
		}
		if err != nil {
			if !errors.Is(err, ErrText) || p != nil {
				t.Fatalf("error %v with the policy %v", err, p)
			}
			if strict != nil {
				t.Fatalf("an operator may apply what no process obeys: %v", err)
			}
			return
		}
		if strict != nil && len(lost) > 0 {
			t.Fatalf("an operator may apply what processes do not understand: %v", lost)
		}
		for _, found := range policy.Check(p) {
			if !found.Note {
				t.Fatalf("a process obeys what has a fault: %+v", found)
			}
		}
		q := &policy.Request{Method: "m", Caller: "c", Baggage: "tenant=a", Seeded: true}
		table := policy.Compile(p, policy.Ages(nil).At(p, 0), 0)
		r := table.Rules("a", "m")
		r.Route(q)
		r.Fault(q)
		r.Mirror(q)
		r.Fallback(q, "timeout")
		r.Limits(q, nil)
		r.Access(q)
		r.Weight("z", "h", nil)
		table.Lane(q)
		table.Explain("a", q, "timeout", policy.Settings{}, policy.Settings{})
	})
}
