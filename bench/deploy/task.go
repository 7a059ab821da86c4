package deploy

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// task is what is done to the site, and how the callers see that it is done.
type task struct {
	name string
	goal goal
}

// The tasks, in this order at one site. The first version of all services is v1.
var tasks = []task{
	{"first installation", goal{seen: []string{"portal/v1@ops-1", "auth/v1@ops-2", "proc/v1@ops-3", "db/v1@ops-4"}}},
	{"second instance", goal{seen: []string{"auth/v1@ops-4"}}},
	{"move", goal{seen: []string{"db/v1@ops-2"}, gone: []string{"db/v1@ops-4"}}},
	{"upgrade", goal{seen: []string{"proc/v2@ops-3"}, gone: []string{"proc/v1@ops-3"}}},
	{"rollback", goal{seen: []string{"proc/v1@ops-3"}, gone: []string{"proc/v2@ops-3"}}},
}

// column is a way to deploy: what the stick has, and what a person does for each task.
type column struct {
	name  string
	title string
	needs []string // of home: plain, embedded, eureka
	pack  func(ctx context.Context, h home, stick string) error
	works []func(*work) // of tasks
}

// result is a task of a column in one round.
type result struct {
	Column string `json:"column"`
	Task   string `json:"task"`
	Round  int    `json:"round"`
	cost
	Machine  float64 `json:"machine_seconds"` // commands, and the wait for the goal
	Wait     float64 `json:"wait_seconds"`    // the part from the last command to the goal
	Failed   int     `json:"failed_calls"`
	Whole    float64 `json:"whole_seconds,omitempty"` // of a paced run
	Stick    float64 `json:"stick_mb,omitempty"`      // the rest: of the first installation
	Files    int     `json:"files,omitempty"`
	Extra    int     `json:"extra_processes,omitempty"`
	Resident float64 `json:"resident_mb,omitempty"`
}

const (
	goalTime = 4 * time.Minute
	restTime = 5 * time.Second // after the installation, before memory is read
)

// site is the hosts with the stick, and their callers.
type site struct {
	hosts []*host
	calls *calls
	paced bool
}

// perform does the work of a task, and waits for its goal.
func (s *site) perform(ctx context.Context, t task, w *work) (r result, err error) {
	r.cost = w.cost()
	begun := time.Now()
	for _, step := range w.steps {
		if s.paced {
			if err := run.Sleep(ctx, step.time()); err != nil {
				return r, err
			}
		}
		at := time.Now()
		if out, err := s.hosts[step.host].do(ctx, step); err != nil {
			return r, err
		} else if verbose && step.command != "" {
			say("    %s# %s\n%s", s.hosts[step.host].name, step.command, out)
		}
		r.Machine += time.Since(at).Seconds()
	}
	last := time.Now()
	for {
		if at, ok := s.calls.reached(t.goal, begun, time.Now()); ok {
			r.Wait = max(0, at.Sub(last).Seconds())
			r.Machine += r.Wait
			r.Failed = s.calls.failures(begun, later(at, last))
			if s.paced {
				r.Whole = later(at, last).Sub(begun).Seconds()
			}
			return r, nil
		}
		if time.Since(last) > goalTime {
			return r, fmt.Errorf("not within %v: %v", goalTime, t.goal)
		}
		if err := run.Sleep(ctx, 20*time.Millisecond); err != nil {
			return r, err
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// weigh reads what runs on the hosts.
func (s *site) weigh(r *result) error {
	n := 0
	for _, h := range s.hosts {
		all, err := h.processes()
		if err != nil {
			return err
		}
		for _, p := range all {
			n++
			r.Resident += float64(p.resident) / 1e6
		}
	}
	r.Extra = n - len(hostNames)
	return nil
}

// perform does all tasks of a column at a new site.
func (c column) perform(ctx context.Context, h home, round int, paced bool) (results []result, err error) {
	err = play(func(t *stage) error {
		dir, err := os.MkdirTemp("", "bench-deploy-")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		device, size, files, err := newStick(ctx, t, dir, func(stick string) error { return c.pack(ctx, h, stick) })
		if err != nil {
			return err
		}
		s := &site{calls: &calls{}, paced: paced}
		if s.hosts, err = newHosts(ctx, t, dir, device); err != nil {
			return err
		}
		if err := s.startProbe(); err != nil {
			return err
		}
		for i, task := range tasks {
			w := &work{}
			c.works[i](w)
			r, err := s.perform(ctx, task, w)
			if err != nil {
				return fmt.Errorf("%s: %s: %w%s", c.name, task.name, err, s.logs(ctx))
			}
			if i == 0 {
				r.Stick, r.Files = size, files
				if err := run.Sleep(ctx, restTime); err != nil {
					return err
				}
				if err := s.weigh(&r); err != nil {
					return err
				}
			}
			r.Column, r.Task, r.Round = c.name, task.name, round
			say("%s, %s: person %.0f s, machine %.1f s (wait %.1f s), %d failed", c.name, task.name, r.Person,
				r.Machine, r.Wait, r.Failed)
			results = append(results, r)
		}
		return nil
	})
	return results, err
}

// logs are the last lines that the services of all hosts have written.
func (s *site) logs(ctx context.Context) (text string) {
	for _, h := range s.hosts {
		out, _ := h.shell(ctx, step{command: "tail -n 5 /var/log/*.log"})
		text += "\n" + h.name + ":\n" + out
	}
	return text
}

func (s *site) startProbe() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	entrance := s.hosts[0].net
	c := entrance.Command(self, probeName, entrance.IP(0)+":7001")
	c.Stdout = s.calls
	entrance.StartCommand(c)
	return nil
}
