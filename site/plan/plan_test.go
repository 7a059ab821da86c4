package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/chance"
)

var digest = "sha256:" + strings.Repeat("7", 64)

const head = "plan: 17\ncluster: site\n"

func example() string {
	return head + `services:
  auth:
    user: site
    limits: {memory: 512MiB, cpu: 150%, files: 65536, processes: 200}
    ports: 7001-7010
    config: |
      listen: "127.0.0.1:${port}"
    run:
      v14: {artifacts: {linux/amd64: "` + digest + `"}, hosts: {ops-1: 2, ops-2: 1}}
      v15: {artifacts: {any: "` + digest + `"}, hosts: {ops-1: 1}}
`
}

func TestParse(t *testing.T) {
	p, err := Parse("plan.yaml", []byte(example()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range p.On("ops-1", "linux/amd64") {
		names = append(names, w.String())
		if w.Artifact == "" || w.Service.Limits.Memory != 512<<20 {
			t.Errorf("%+v", w)
		}
	}
	if got := strings.Join(names, " "); got != "auth/v14#1 auth/v14#2 auth/v15#1" {
		t.Errorf("ops-1 runs %s", got)
	}
	if w := p.On("ops-2", "windows/amd64"); len(w) != 1 || w[0].Artifact != "" {
		t.Errorf("%+v", w)
	}
	if len(p.On("other", "linux/amd64")) != 0 {
		t.Error("a host that the plan does not name runs something")
	}
}

func TestMistakesAreNamed(t *testing.T) {
	auth := head + "services: {auth: {%s}}"
	for text, want := range map[string]string{
		"plan: 0\ncluster: site":                                                             "plan",
		"plan: 1\ncluster: a b":                                                              "cluster",
		head + "command: rm -rf /":                                                           "command",
		fmt.Sprintf(auth, "ports: 9-1"):                                                      "ports",
		fmt.Sprintf(auth, "ports: 1-70000"):                                                  "ports",
		fmt.Sprintf(auth, "limits: {cpu: 3}"):                                                "cpu",
		fmt.Sprintf(auth, "limits: {memory: -3}"):                                            "memory",
		fmt.Sprintf(auth, "run: {v1: {hosts: {a: 1}}}"):                                      "artifacts",
		fmt.Sprintf(auth, "run: {v1: {artifacts: {any: abc}}}"):                              "sha256",
		fmt.Sprintf(auth, "run: {v1: {args: [x]}}"):                                          "args",
		fmt.Sprintf(auth, "config: "+strings.Repeat("x", 70_000)):                            "config",
		fmt.Sprintf(auth, "run: {v1: {artifacts: {any: \""+digest+"\"}, hosts: {a: 1000}}}"): "1000",
	} {
		if _, err := Parse("p.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "p.yaml:") {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example()))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("p.yaml", text)
		if err != nil {
			return
		}
		for _, w := range p.On("ops-1", "linux/amd64") {
			if w.N < 1 || w.Hash == "" || w.Instance.Service == "" {
				t.Errorf("%+v", w)
			}
		}
		again, err := Parse("p.yaml", p.Marshal())
		if err != nil || string(again.Marshal()) != string(p.Marshal()) || Diff(p, again) != nil {
			t.Errorf("%v\n%s", err, p.Marshal())
		}
	})
}

// world is a host: what runs there, as an agent sees it.
type world struct {
	seen map[Instance]Seen
	bad  map[string]bool // hashes that never come up
}

func (w *world) list() (list []Seen) {
	for _, s := range w.seen {
		list = append(list, s)
	}
	return list
}

// run does a step.
func (w *world) run(t *testing.T, s Step) {
	i := w.seen[s.Instance]
	switch s.Do {
	case Start:
		if i.Alive {
			t.Fatalf("%s is started twice", s.Instance)
		}
		for _, other := range w.seen {
			for _, p := range s.Ports {
				if p != 0 && other.Alive && slices.Contains(other.Ports, p) {
					t.Fatalf("%s and %s have port %d", s.Instance, other.Instance, p)
				}
			}
		}
		w.seen[s.Instance] = Seen{Instance: s.Instance, Hash: s.Wanted.Hash, Ports: s.Ports, Alive: true}
	case Stop:
		i.Stopping = true
		w.seen[s.Instance] = i
	case Remove:
		if i.Alive {
			t.Fatalf("%s lives and is removed", s.Instance)
		}
		delete(w.seen, s.Instance)
	}
}

// pass lets time pass: what is stopping ends, what was started comes up.
func (w *world) pass(rnd *rand.Rand) {
	for i, s := range w.seen {
		switch {
		case rnd.IntN(3) == 0:
		case s.Stopping:
			s.Alive, s.Up, s.Stopping = false, false, false
		case s.Alive:
			s.Up = !w.bad[s.Hash]
		}
		w.seen[i] = s
	}
}

func onePort(Wanted) int { return 1 }

func randomPlan(rnd *rand.Rand, number int64) *Plan {
	p := &Plan{Number: number, Cluster: "site", Services: map[string]Service{}}
	for _, name := range []string{"auth", "proc", "rec"} {
		s := Service{Ports: []string{"", "7001-7020"}[rnd.IntN(2)], Restarts: rnd.IntN(2), Run: map[string]Run{}}
		s.Config = []string{"a", "b"}[rnd.IntN(2)]
		for _, v := range []string{"v1", "v2"} {
			s.Run[v] = Run{Artifacts: map[string]string{"any": digest}, Hosts: map[string]int{"h": rnd.IntN(4)}}
		}
		p.Services[name] = s
	}
	return p
}

// TestWorldsConverge plays random plans in a world where the agent is killed between any two steps and shims die.
func TestWorldsConverge(t *testing.T) {
	rnd := chance.Rand(t, 17)
	for range 40 {
		w := &world{seen: map[Instance]Seen{}}
		var p *Plan
		for number := range int64(4) {
			p = randomPlan(rnd, number+1)
			for range rnd.IntN(20) {
				before := p.On("h", "x")
				for _, s := range Steps(before, w.list(), onePort) {
					if rnd.IntN(8) == 0 {
						break // the agent is killed
					}
					if i := w.seen[s.Instance]; s.Do == Stop && slices.ContainsFunc(before, func(x Wanted) bool {
						return x.Instance == s.Instance && x.Hash == i.Hash
					}) {
						t.Fatalf("%s is wanted as it is, and is stopped", s.Instance)
					}
					w.run(t, s)
				}
				w.pass(rnd)
				if rnd.IntN(10) == 0 {
					for i, s := range w.seen { // a shim dies
						s.Alive, s.Up, s.Stopping = false, false, false
						w.seen[i] = s
						break
					}
				}
			}
		}
		wanted := p.On("h", "x")
		for range 100 {
			for _, s := range Steps(wanted, w.list(), onePort) {
				w.run(t, s)
			}
			w.pass(rnd)
		}
		if steps := Steps(wanted, w.list(), onePort); len(steps) != 0 || len(w.seen) != len(wanted) {
			t.Fatalf("not at rest: %+v", steps)
		}
	}
}

// TestBadChangeStopsAtTheFirst: of four instances, one is lost to a configuration that does not come up.
func TestBadChangeStopsAtTheFirst(t *testing.T) {
	rnd := chance.Rand(t, 18)
	w := &world{seen: map[Instance]Seen{}, bad: map[string]bool{}}
	p := &Plan{Services: map[string]Service{"auth": {Ports: "7001-7004", Run: map[string]Run{
		"v1": {Artifacts: map[string]string{"any": digest}, Hosts: map[string]int{"h": 4}}}}}}
	play := func() {
		for range 100 {
			for _, s := range Steps(p.On("h", "x"), w.list(), onePort) {
				w.run(t, s)
			}
			w.pass(rnd)
		}
	}
	up := func() (n int) {
		for _, s := range w.seen {
			if s.Up {
				n++
			}
		}
		return n
	}
	if play(); up() != 4 {
		t.Fatalf("%d of 4 are up", up())
	}
	s := p.Services["auth"]
	s.Config = "bad"
	p.Services["auth"] = s
	w.bad[p.On("h", "x")[0].Hash] = true
	if play(); up() != 3 {
		t.Errorf("after a bad change %d of 4 are up, not 3", up())
	}
	s.Config = "good"
	p.Services["auth"] = s
	if play(); up() != 4 || len(Steps(p.On("h", "x"), w.list(), onePort)) != 0 {
		t.Errorf("after a good change %d of 4 are up", up())
	}
}

func TestBlockedSaysWhy(t *testing.T) {
	p := &Plan{Services: map[string]Service{"auth": {Ports: "7001", Run: map[string]Run{
		"v1": {Artifacts: map[string]string{"any": digest}, Hosts: map[string]int{"h": 2}}}}}}
	steps := Steps(p.On("h", "x"), nil, onePort)
	if len(steps) != 2 || steps[0].Do != Start || steps[0].Ports[0] != 7001 || steps[1].Do != Blocked ||
		!strings.Contains(steps[1].Why, "ports") {
		t.Errorf("%+v", steps)
	}
}
