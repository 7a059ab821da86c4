package participant

import (
	"fmt"
	"slices"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// The small model of a change-over: two processes, one for each version, and an
// operator's command that may end anywhere. The search runs the real rules
// through every order of a commit, a rollback, starts, stops, crashes and late
// rules. It looks for a state in which both versions run.

// turnMutant switches off one rule of the change.
type turnMutant struct {
	noYield  bool // the old version keeps the turn until the new one gets it
	hasty    bool // the turn passes while the old version runs
	deaf     bool // the turn passes before every process has the rules that take it back
	oldRules bool // a process starts with rules saved by an earlier run
}

// modelState is one state of the model.
type modelState struct {
	logs  []*rollout.Log // each prefix of the log
	r     rollout.Release
	procs [2]machine
	step  string
	from  *modelState
}

type machine struct {
	state  byte // 'o' off, 'w' waits for its turn, 'r' runs
	knows  int  // index into logs
	starts int
}

var versions = [2]string{"v1", "v2"}

func (p *modelState) log() *rollout.Log { return p.logs[len(p.logs)-1] }

func (p *modelState) then(step string) *modelState {
	c := *p
	c.step, c.from, c.logs = step, p, slices.Clip(p.logs)
	return &c
}

// write appends an entry.
func (p *modelState) write(step string, r rollout.Release, rules map[string]rollout.Rule,
	retire ...rollout.Retirement) *modelState {
	c := p.then(step)
	next, err := p.log().Apply(p.log().Next(r.Name, rules, retire...))
	if err != nil {
		panic(err)
	}
	c.logs, c.r = append(c.logs, next), r
	return c
}

func (p *modelState) key() string {
	rule, _ := p.log().Rule("pump")
	return fmt.Sprint(p.r.State, len(p.logs), rule, p.r.Modules, p.procs)
}

// longest is the number of entries of the longest correct change: ship, commit,
// two for the change-over, rollback, two for the change back.
const longest = 7

// operate returns the states after each possible step of the operator.
func (p *modelState) operate(m turnMutant) (out []*modelState) {
	if len(p.logs) > longest {
		return nil
	}
	at := p.log().Next("", nil).Generation
	if next, rules, err := p.r.Commit(p.log(), rollout.Whole, at); err == nil {
		out = append(out, p.write("commit", next, rules))
	}
	if next, rules, err := p.r.Rollback(p.log(), at); err == nil && !p.r.Back {
		out = append(out, p.write("rollback", next, rules))
	}
	if next, rules, retire, err := p.r.RevokeTurn(p.log(), nil); err == nil {
		if m.noYield {
			rule, _ := p.log().Rule("pump")
			rules["pump"] = rule
		}
		out = append(out, p.write("take the turn back", next, rules, retire...))
	}
	next, rules, err := p.r.GrantTurn(p.log())
	if m.noYield && err != nil && len(p.r.ChangingOver(p.log())) > 0 {
		rule, _ := p.log().Rule("pump")
		rule.Turn = rule.Version
		next, rules, err = p.r, map[string]rollout.Rule{"pump": rule}, nil
		next.Modules = slices.Clone(next.Modules)
	}
	if err == nil && p.free(m) {
		out = append(out, p.write("pass the turn", next, rules))
	}
	return out
}

// free reports the controller's check before it passes the turn.
func (p *modelState) free(m turnMutant) bool {
	rule, _ := p.log().Rule("pump")
	for i, x := range p.procs {
		if x.state == 'r' && versions[i] != rule.Version && !m.hasty {
			return false
		}
		if x.state != 'o' && x.knows < len(p.logs)-1 && !m.deaf {
			return false
		}
	}
	return true
}

// next returns every state that one event leads to.
func (p *modelState) next(m turnMutant) []*modelState {
	out := p.operate(m)
	for i, x := range p.procs {
		on := func(step string, change func(*machine)) {
			c := p.then(versions[i] + " " + step)
			change(&c.procs[i])
			out = append(out, c)
		}
		switch x.state {
		case 'o':
			if x.starts < 2 {
				on("starts", func(x *machine) { x.state, x.knows, x.starts = 'w', len(p.logs)-1, x.starts+1 })
			}
			if x.starts < 2 && m.oldRules {
				on("starts by old rules", func(x *machine) { x.state, x.starts = 'w', x.starts+1 })
			}
		case 'w':
			if p.logs[x.knows].CheckTurn("pump", versions[i]) == nil {
				on("opens the device", func(x *machine) { x.state = 'r' })
			}
			fallthrough
		case 'r':
			on("ends", func(x *machine) { x.state = 'o' })
			if x.knows < len(p.logs)-1 {
				on("hears the next rules", func(x *machine) { x.knows++ })
			}
		}
	}
	return out
}

// twoOwners searches for a state in which both versions run, and returns the
// events that lead there.
func twoOwners(m turnMutant) (way []string, states int) {
	start := &modelState{logs: []*rollout.Log{{}}, r: rollout.Release{Name: "r1", Mark: "m", State: rollout.Prepared}}
	start.procs = [2]machine{{state: 'r', starts: 1}, {state: 'o'}}
	r, rules, err := start.r.Ship(start.log(), rollout.Module{
		Service: "pump", Old: "v1", New: "v2", Strategy: rollout.Blocking,
	})
	if err != nil {
		panic(err)
	}
	start = start.write("ship", r, rules)
	seen, queue := map[string]bool{start.key(): true}, []*modelState{start}
	for ; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		if p.procs[0].state == 'r' && p.procs[1].state == 'r' {
			for ; p != nil; p = p.from {
				way = append(way, p.step)
			}
			slices.Reverse(way)
			return way, len(seen)
		}
		for _, n := range p.next(m) {
			if k := n.key(); !seen[k] {
				seen[k] = true
				queue = append(queue, n)
			}
		}
	}
	return nil, len(seen)
}

func TestNeverTwoOwners(t *testing.T) {
	way, states := twoOwners(turnMutant{})
	if way != nil {
		t.Errorf("both versions run: %q", way)
	}
	t.Logf("%d states", states)
}

func TestTurnsCatchEveryMutant(t *testing.T) {
	for name, m := range map[string]turnMutant{
		"the old version keeps the turn":      {noYield: true, deaf: true},
		"nobody waits for the end of the old": {hasty: true},
		"not everybody knows":                 {deaf: true},
		"a start by old rules":                {oldRules: true},
	} {
		way, states := twoOwners(m)
		if way == nil {
			t.Errorf("%s: not caught in %d states", name, states)
		}
		t.Logf("%s: %d steps: %q", name, len(way), way)
	}
}
