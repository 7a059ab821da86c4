package order

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/plan"
	"github.com/skerry/skerry/site/spread"
)

const digest = "sha256:77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa"

// hosts are agents in memory. Each obeys the plan with the highest number that it was offered.
type hosts struct {
	obey     map[string]agent.SignedPlan
	silent   map[string]error
	rivals   []agent.SignedPlan
	statuses []spread.HostStatus
	asked    int
}

func (h *hosts) Latest(_ context.Context, judge func(agent.SignedPlan) error) (spread.Latest, error) {
	l := spread.Latest{Hosts: map[string]int64{}, Silent: h.silent}
	for host, p := range h.obey {
		l.Hosts[host] = 0
		if p.Number == 0 || judge(p) != nil {
			continue
		}
		if l.Hosts[host] = p.Number; p.Number > l.Plan.Number {
			l.Plan = p
		}
	}
	if l.Plan.Number > 0 {
		l.Conflicts = h.rivals
	}
	return l, nil
}

func (h *hosts) Offer(_ context.Context, p agent.SignedPlan) (all []spread.Offered, err error) {
	for host, now := range h.obey {
		o := spread.Offered{Agent: spread.Agent{Host: host}}
		if p.Number <= now.Number {
			o.Err = &spread.RefusedError{Host: host, Reason: "it obeys a later one"}
		} else {
			h.obey[host] = p
		}
		all = append(all, o)
	}
	for host, err := range h.silent {
		all = append(all, spread.Offered{Agent: spread.Agent{Host: host}, Err: err})
	}
	return all, nil
}

func (h *hosts) Statuses(context.Context) ([]spread.HostStatus, error) {
	h.asked++
	return h.statuses, nil
}

func (h *hosts) Log(_ context.Context, host, instance string, cursor int64, lines int, _ time.Duration) (
	spread.LogPage, error) {
	return spread.LogPage{Text: []byte(fmt.Sprintf("%d lines of %s at %s\n", lines, instance, host))}, nil
}

// office is a desk with its hosts.
type office struct {
	*Desk
	*hosts
	key ed25519.PrivateKey
}

func newOffice(t *testing.T, names ...string) *office {
	t.Helper()
	o := &office{key: ed25519.NewKeyFromSeed(make([]byte, 32)), hosts: &hosts{obey: map[string]agent.SignedPlan{},
		silent: map[string]error{}}}
	for _, name := range names {
		o.obey[name] = agent.SignedPlan{}
	}
	file := filepath.Join(t.TempDir(), "operators")
	line := fmt.Sprintf("wang namespaces=%q %s\n", plan.Namespace, sshsig.PublicKey(o.key.Public().(ed25519.PublicKey)))
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Desk = New(Config{Agents: o.hosts, Cluster: "site", Operators: file,
		Sign: func(_ context.Context, text []byte) ([]byte, error) { return sign(o.key, text) }})
	return o
}

func sign(key ed25519.PrivateKey, text []byte) ([]byte, error) {
	blob, err := sshsig.Blob(sshsig.PublicKey(key.Public().(ed25519.PublicKey)), plan.Namespace,
		ed25519.Sign(key, sshsig.Signed(plan.Namespace, text)))
	return sshsig.Armor(blob), err
}

// first is the plan that the tests begin with.
func first(Standing) (*plan.Plan, error) {
	v1 := plan.Run{Artifacts: map[string]string{"linux/amd64": digest}, Hosts: map[string]int{"ops-1": 2, "ops-2": 1}}
	return &plan.Plan{Cluster: "site",
		Services: map[string]plan.Service{"auth": {Run: map[string]plan.Run{"v1": v1}}}}, nil
}

func (o *office) give(t *testing.T, edit func(Standing) (*plan.Plan, error)) Given {
	t.Helper()
	g, err := o.Give(t.Context(), false, edit)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGive(t *testing.T) {
	o := newOffice(t, "ops-1", "ops-2")
	o.silent["ops-3"] = errors.New("connection refused")
	g := o.give(t, first)
	slices.Sort(g.Took)
	if g.Plan.Number != 1 || g.Plan.Parent != "" || !reflect.DeepEqual(g.Took, []string{"ops-1", "ops-2"}) ||
		!reflect.DeepEqual(g.LaterText(), []string{"ops-3: connection refused"}) {
		t.Errorf("given: %+v", g)
	}
	before := string(o.obey["ops-1"].Digest())
	g = o.give(t, func(s Standing) (*plan.Plan, error) {
		return s.Plan.Scale("auth", "v1", map[string]int{"ops-4": 1})
	})
	if g.Plan.Number != 2 || g.Plan.Parent != before {
		t.Errorf("the next one has number %d and the parent %s, want 2 and %s", g.Plan.Number, g.Plan.Parent, before)
	}
	if err := g.Later["ops-4"]; !errors.Is(err, spread.ErrNoAgent) {
		t.Errorf("a host without an agent: %v", err)
	}
	g = o.give(t, func(s Standing) (*plan.Plan, error) {
		p := *s.Plan
		p.Reason = "nothing"
		return &p, nil
	})
	if g.Took != nil || o.obey["ops-1"].Number != 2 {
		t.Errorf("a plan that changes nothing was given: %+v", g)
	}
}

// TestStrangerChangesNothing: a host offers a plan that no operator has signed, with a high number.
func TestStrangerChangesNothing(t *testing.T) {
	o := newOffice(t, "ops-1", "evil")
	o.give(t, first)
	forged := []byte(strings.Replace(string(o.obey["ops-1"].Text), "plan: 1", "plan: 99", 1))
	seed := make([]byte, 32)
	seed[0] = 1
	signature, err := sign(ed25519.NewKeyFromSeed(seed), forged)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]agent.SignedPlan{
		"another key":          {Number: 99, Text: forged, Signature: signature},
		"of another plan":      {Number: 99, Text: forged, Signature: o.obey["ops-1"].Signature},
		"no signature":         {Number: 99, Text: forged},
		"no armored signature": {Number: 99, Text: forged, Signature: []byte("?")},
	} {
		o.obey["evil"] = p
		s, err := o.Look(t.Context())
		if err != nil || s.Plan.Number != 1 {
			t.Errorf("%s: plan %d is in force, %v", name, s.Plan.Number, err)
		}
	}
}

// TestFirstPlanMayBeEmpty: hosts then know that nothing is wanted.
func TestFirstPlanMayBeEmpty(t *testing.T) {
	o := newOffice(t, "ops-1")
	g := o.give(t, func(s Standing) (*plan.Plan, error) { return s.Plan, nil })
	if len(g.Took) != 1 || g.Signed.Number != 1 || g.Signed.Digest() != o.obey["ops-1"].Digest() {
		t.Errorf("given: %+v", g)
	}
}

func TestRivals(t *testing.T) {
	o := newOffice(t, "ops-1")
	o.give(t, first)
	o.rivals = []agent.SignedPlan{{Number: 1, By: "li"}}
	if _, err := o.Give(t.Context(), false, first); !errors.Is(err, ErrRivals) {
		t.Errorf("an edit of one of two plans: %v", err)
	}
	g, err := o.Give(t.Context(), true, first)
	if err != nil || g.Plan.Number != 2 {
		t.Errorf("a whole plan: %+v, %v", g, err)
	}
}

// TestKeyOfNoOperator: the hosts are not bothered with what they would refuse.
func TestKeyOfNoOperator(t *testing.T) {
	o := newOffice(t, "ops-1")
	o.Desk.config.Sign = func(_ context.Context, text []byte) ([]byte, error) {
		return sign(ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32))), text)
	}
	if _, err := o.Give(t.Context(), false, first); err == nil || !strings.Contains(err.Error(), "may not sign") {
		t.Errorf("%v", err)
	}
	if o.obey["ops-1"].Number != 0 {
		t.Error("a host has it")
	}
}

func TestNoHost(t *testing.T) {
	o := newOffice(t)
	if _, err := o.Give(t.Context(), false, first); !errors.Is(err, ErrNoHost) {
		t.Errorf("without agents: %v", err)
	}
	o.silent["ops-1"] = errors.New("connection refused")
	if _, err := o.Give(t.Context(), false, first); !errors.Is(err, ErrNoHost) ||
		!strings.Contains(err.Error(), "ops-1: connection refused") {
		t.Errorf("with a silent one: %v", err)
	}
}

func TestOperatorsThatAreMissing(t *testing.T) {
	o := newOffice(t, "ops-1")
	o.Desk.config.Operators = filepath.Join(t.TempDir(), "none")
	if _, err := o.Look(t.Context()); err == nil {
		t.Error("plans are judged without keys")
	}
}

// hands are those of an office whose store has v2 for linux/amd64.
func (o *office) hands() *Hands {
	return &Hands{Desk: o.Desk, Artifacts: func(service, version string) (map[string]string, error) {
		if service == "auth" && version == "v2" {
			return map[string]string{"linux/amd64": digest}, nil
		}
		return nil, nil
	}}
}

func TestHands(t *testing.T) {
	o := newOffice(t, "ops-1", "ops-2")
	o.give(t, first)
	h := o.hands()
	do := func(want string, moves ...releases.Move) {
		t.Helper()
		order, err := h.Plan(t.Context(), "release r1: new\ntokens", moves...)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(order.Will, "; "); got != want {
			t.Errorf("will %q, want %q", got, want)
		}
		if want == "" {
			if order.Do != nil {
				t.Error("there is something to do")
			}
			return
		}
		if _, err := order.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	start := releases.Move{Service: "auth", Start: "v2", Like: "v1"}
	do("have the agents start auth/v2: 2 on ops-1, ops-2", start)
	do("", start)
	do("", releases.Move{Service: "db", Start: "v2", Like: "v1"})
	s, err := o.Look(t.Context())
	if err != nil || s.Plan.Number != 2 || s.Plan.Reason != "release r1: new tokens" ||
		s.Plan.Services["auth"].Run["v2"].Artifacts["linux/amd64"] != digest {
		t.Errorf("the plan is %+v, %v", s.Plan, err)
	}
	do("have the agents stop auth/v1: 2 on ops-1, ops-2", releases.Move{Service: "auth", Stop: []string{"v1"}},
		releases.Move{Service: "auth", Stop: []string{"v9"}})
	do("have the agents stop auth/v2: 2 on ops-1, ops-2",
		releases.Move{Service: "auth", Stop: []string{"v2"}})
}

// TestOrderIsGivenOnTheLatestPlan: another operator gives a plan between the question and the answer.
func TestOrderIsGivenOnTheLatestPlan(t *testing.T) {
	o := newOffice(t, "ops-1", "ops-2")
	o.give(t, first)
	order, err := o.hands().Plan(t.Context(), "", releases.Move{Service: "auth", Start: "v2", Like: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	o.give(t, func(s Standing) (*plan.Plan, error) {
		return s.Plan.Scale("auth", "v1", map[string]int{"ops-1": 5})
	})
	if _, err := order.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := o.Look(t.Context())
	if err != nil || s.Plan.Number != 3 || s.Plan.Services["auth"].Run["v2"].Hosts["ops-1"] != 5 ||
		s.Plan.Services["auth"].Run["v1"].Hosts["ops-1"] != 5 {
		t.Errorf("the plan is %+v, %v", s.Plan, err)
	}
}

func TestHandsWithoutArtifact(t *testing.T) {
	o := newOffice(t, "ops-1")
	o.give(t, first)
	_, err := o.hands().Plan(t.Context(), "", releases.Move{Service: "auth", Start: "v3", Like: "v1"})
	if err == nil || !strings.Contains(err.Error(), "has no auth/v3 for linux/amd64; import its bundle") {
		t.Errorf("%v", err)
	}
}

func TestTroubles(t *testing.T) {
	o := newOffice(t, "ops-1")
	o.statuses = []spread.HostStatus{
		{Agent: spread.Agent{Host: "ops-1"}, Status: &spread.Status{Instances: []spread.Instance{
			{Name: "auth/v2#1", Phase: "up"}, {Name: "auth/v2#2", Phase: "backing-off", CrashLooping: true,
				LastExit: "exit status 3"}, {Name: "auth/v20#1", Phase: "stopped"}}}},
		{Agent: spread.Agent{Host: "ops-2"}, Status: &spread.Status{Fetching: []string{"auth/v2: asked ops-3"},
			Instances: []spread.Instance{{Name: "auth/v2#1", Phase: "wanted", Problem: "not here yet"}}}},
		{Agent: spread.Agent{Host: "ops-3"}, Err: errors.New("connection refused")},
	}
	h := o.hands()
	want := []releases.Trouble{
		{Host: "ops-1", Text: "auth/v2#2: crash looping: exit status 3", Final: true,
			Log: "40 lines of auth/v2#2 at ops-1\n"},
		{Host: "ops-2", Text: "auth/v2#1: wanted: not here yet"},
		{Host: "ops-2", Text: "auth/v2: asked ops-3"},
	}
	for range 3 {
		if got := h.Troubles(t.Context(), "auth", "v2"); !reflect.DeepEqual(got, want) {
			t.Errorf("troubles %+v\nwant %+v", got, want)
		}
	}
	if o.asked != 1 {
		t.Errorf("the hosts were asked %d times", o.asked)
	}
}
