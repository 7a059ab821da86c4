package plan

import (
	"fmt"
	"slices"
)

// Seen is an instance that an agent has found on its host.
type Seen struct {
	Instance
	Hash     string // of the Wanted that it was started for
	Ports    []int
	Alive    bool // its shim lives
	Up       bool // its program runs
	Stopping bool
}

// Do is what a step does.
type Do string

// The kinds of steps.
const (
	Start   Do = "start"
	Stop    Do = "stop"
	Remove  Do = "remove"  // what it has left on the disk, when that is old enough
	Blocked Do = "blocked" // nothing, for the reason of the step
	Change  Do = "change"  // stop and start, as an [Effect]
)

// Step is one thing to do on a host.
type Step struct {
	Do       Do
	Instance Instance
	Wanted   *Wanted // of Start
	Ports    []int   // of Start
	Why      string
}

// Steps returns what an agent does next, in order. ports returns how many ports each instance of a Wanted needs. Steps
// are few at a time on purpose: the agent looks again after them.
func Steps(wanted []Wanted, seen []Seen, ports func(Wanted) int) []Step {
	want := map[Instance]Wanted{}
	for _, w := range wanted {
		want[w.Instance] = w
	}
	found := map[Instance]Seen{}
	taken := map[int]bool{}
	for _, s := range seen {
		found[s.Instance] = s
		for _, p := range s.Ports {
			taken[p] = taken[p] || s.Alive
		}
	}
	var steps []Step
	seen = slices.SortedFunc(slices.Values(seen), func(a, b Seen) int { return a.Instance.Compare(b.Instance) })
	for _, s := range seen {
		switch _, is := want[s.Instance]; {
		case is:
		case !s.Alive:
			steps = append(steps, Step{Do: Remove, Instance: s.Instance})
		case !s.Stopping:
			steps = append(steps, Step{Do: Stop, Instance: s.Instance, Why: "the plan does not want it"})
		}
	}
	for _, w := range wanted {
		if s := found[w.Instance]; s.Alive {
			if s.Hash != w.Hash && !s.Stopping {
				steps = append(steps, change(w, s, wanted, found))
			}
			continue
		}
		steps = append(steps, start(w, ports(w), taken))
	}
	return steps
}

// start is the step for an instance that does not run.
func start(w Wanted, ports int, taken map[int]bool) Step {
	blocked := func(format string, args ...any) Step {
		return Step{Do: Blocked, Instance: w.Instance, Why: fmt.Sprintf(format, args...)}
	}
	if w.Artifact == "" {
		return blocked("the plan names no artifact for the platform of this host")
	}
	step := Step{Do: Start, Instance: w.Instance, Wanted: &w, Ports: make([]int, ports), Why: "the plan wants it"}
	first, last, err := parsePorts(w.Service.Ports)
	if err != nil || first == 0 {
		return step // the program listens on port 0
	}
	n := 0
	for p := first; p <= last && n < ports; p++ {
		if !taken[p] {
			step.Ports[n] = p
			n++
		}
	}
	if n < ports {
		return blocked("of the ports %s, %d are free and it needs %d; give the service more ports", w.Service.Ports, n,
			ports)
	}
	for _, p := range step.Ports {
		taken[p] = true
	}
	return step
}

// change is the step for an instance that runs otherwise than wanted. One that is up waits for its siblings, so that a
// change which does not come up stops at the first.
func change(w Wanted, s Seen, wanted []Wanted, found map[Instance]Seen) Step {
	if s.Up {
		for _, other := range wanted {
			sibling := other.Instance.Service == w.Instance.Service && other.Instance != w.Instance
			if sibling && !found[other.Instance].Up {
				return Step{Do: Blocked, Instance: w.Instance, Why: fmt.Sprintf(
					"the plan changes it; it waits until %s is up", other.Instance)}
			}
		}
		found[w.Instance] = Seen{} // the next one waits for it
	}
	return Step{Do: Stop, Instance: w.Instance, Why: "the plan changes it"}
}
