package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/resident"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// The pace of an agent.
const (
	period    = time.Second      // between two looks at the plan's file
	slow      = 10 * time.Second // between two looks at everything, when nothing has changed
	askTime   = 2 * time.Second
	proxyWait = 100 * time.Millisecond // between two looks whether a proxy has its socket
	goodTime  = time.Minute            // an artifact that was up for so long is a good one
	keepTime  = 14 * 24 * time.Hour    // for what an instance has left: its log
)

var platform = runtime.GOOS + "/" + runtime.GOARCH

// Agent is the agent of one host.
type Agent struct {
	config   Config
	command  []string // that runs a shim, before its directory
	cgroup   string
	store    *artifact.Store
	builders *artifact.Signers
	orders   *orders
	watches  *watches
	proxies  *watches // of the same instances, when they have one

	tries      map[plan.Instance]*tries
	proxyTries map[plan.Instance]*tries
	good       map[artifact.Digest]bool
	problems   map[string]string // by instance; "" for the plan
	began      time.Time
	said       string    // agent.json as it was written last
	due        time.Time // of the next turn, when nothing changes before
	collectAt  time.Time // garbage
	settle     time.Duration
	jitter     func() float64

	here    map[artifact.Digest]bool // artifacts that were found in the store
	network network
}

// tries paces the starts of one instance.
type tries struct {
	shim.Restarts
	began time.Time
	next  time.Time
}

// New returns the agent of a host. command is the command line that runs a shim when a directory is added:
// skerry shim. It reads nothing.
func New(c Config, command ...string) *Agent {
	a := &Agent{config: c, command: command, tries: map[plan.Instance]*tries{}, good: map[artifact.Digest]bool{},
		problems: map[string]string{}, watches: newWatches(), proxies: newWatches(),
		proxyTries: map[plan.Instance]*tries{}, jitter: rand.Float64, settle: collectAfter,
		here: map[artifact.Digest]bool{}, network: network{changed: make(chan struct{})}}
	a.proxies.woken = a.watches.woken
	return a
}

// Run keeps running what the plan wants until ctx ends. The instances go on then. Meanwhile it runs beside, which may
// use the methods of the agent; the agent waits for none of them but at its end, and reports an error of one.
func (a *Agent) Run(ctx context.Context, beside ...func(context.Context) error) error {
	for dir, mode := range map[string]fs.FileMode{"": 0o711, "artifacts": 0o755, "instances": 0o700,
		"proxies": 0o700, "work": 0o711,
		"files": 0o711, "state": 0o711} {
		if err := mkdir(filepath.Join(a.config.Dir, dir), mode); err != nil {
			return err
		}
	}
	lock, err := take(ctx, filepath.Join(a.config.Dir, "lock"))
	if errors.Is(err, statedir.ErrLocked) {
		return fmt.Errorf("another agent runs in %q", a.config.Dir)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if a.store, err = artifact.Open(a.config.Store.Dir, artifact.Options{Floor: a.config.Store.Floor}); err != nil {
		return err
	}
	if a.orders, err = openOrders(a.config); err != nil {
		return err
	}
	a.cgroup = shim.Cgroup()
	a.began = time.Now()
	defer a.watches.close()
	defer a.proxies.close()
	if err := a.find(ctx); err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(25)) // an agent is small, and idle
	defer a.beside(ctx, beside)()
	tick := time.NewTicker(period)
	defer tick.Stop()
	for trimmed := false; ctx.Err() == nil; {
		a.turn(ctx)
		if quiet := a.rest(ctx, tick.C); quiet && !trimmed {
			resident.Trim()
			trimmed = true
		} else {
			trimmed = quiet
		}
	}
	return nil
}

// find watches the instances that were started before.
func (a *Agent) find(ctx context.Context) error {
	return errors.Join(
		records(a.config.Dir, "instances", func(dir string, r record) { a.watches.begin(ctx, dir, r) }),
		records(a.config.Dir, "proxies", func(dir string, r record) { a.proxies.begin(ctx, dir, r) }))
}

// rest returns when there is something to do. It is quiet when nothing has changed.
func (a *Agent) rest(ctx context.Context, tick <-chan time.Time) (quiet bool) {
	for {
		due := time.NewTimer(time.Until(a.due))
		select {
		case <-ctx.Done():
		case <-a.watches.woken:
		case <-due.C:
			quiet = true
		case <-tick:
			now, rival := a.orders.current()
			wrong := a.orders.wrong
			same := a.orders.look() == wrong // a problem that stays is the same value
			if after, other := a.orders.current(); !same || after != now || other != rival {
				break
			}
			due.Stop()
			continue
		}
		due.Stop()
		return quiet
	}
}

// again asks for a turn at a time.
func (a *Agent) again(at time.Time) {
	if at.Before(a.due) {
		a.due = at
	}
}

// take locks a file. A command that looks whether an agent runs may hold it for a moment.
func take(ctx context.Context, path string) (lock *os.File, err error) {
	for range 100 {
		if lock, err = statedir.Lock(path); !errors.Is(err, statedir.ErrLocked) {
			return lock, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
	return nil, err
}

// turn compares the plan with what runs, once, and takes the steps between them.
func (a *Agent) turn(ctx context.Context) {
	a.due = time.Now().Add(slow)
	wrong := a.orders.look()
	now, rival := a.orders.current()
	conflict := a.orders.conflict()
	a.problem("", errors.Join(conflict, wrong))
	seen := a.watches.list()
	var wanted []plan.Wanted
	if now != nil {
		wanted = now.plan.On(a.config.Host, platform)
	} else if len(seen) > 0 {
		// Without a plan nothing is known to be unwanted.
		a.problem("", errors.Join(a.orders.wrong, errors.New("there is no plan; what runs is left alone")))
		a.say()
		return
	}
	var list []plan.Seen
	busy := map[string]bool{"": true}
	died := map[plan.Instance]string{}
	for _, s := range seen {
		if s.Phase == Gone {
			died[s.record.Instance] = s.record.Hash
		}
		x := a.seen(s)
		list = append(list, x)
		a.markGood(ctx, s)
		if s.Phase == string(shim.Up) && !x.Up {
			busy[s.Name] = true
			a.problem(s.Name, a.notUp(s))
		}
	}
	steps := plan.Steps(wanted, list, a.ports)
	lacks := a.findMissing(wanted)
	if len(lacks) > 0 {
		a.again(time.Now().Add(period)) // a bundle may bring it
	}
	steps = hold(steps, died, true, func(service string) error { return lacks[service] })
	if rival != nil {
		steps = hold(steps, died, false, func(string) error { return conflict })
	}
	for _, s := range steps {
		if ctx.Err() != nil {
			return
		}
		if s.Do != plan.Remove {
			busy[s.Instance.String()] = true
		}
		a.do(ctx, s)
	}
	a.keepProxies(ctx, seen, steps)
	a.collectInTime(ctx, seen, wanted, steps)
	maps.DeleteFunc(a.problems, func(name, _ string) bool { return !busy[name] })
	a.say()
}

// collectInTime collects garbage a while after the last step, and each hour.
func (a *Agent) collectInTime(ctx context.Context, seen []Instance, wanted []plan.Wanted, steps []plan.Step) {
	now := time.Now()
	for _, s := range steps {
		if s.Do == plan.Start || s.Do == plan.Stop {
			a.collectAt = now.Add(a.settle)
		}
	}
	if a.collectAt.IsZero() {
		a.collectAt = now.Add(a.settle)
	}
	if now, _ := a.orders.current(); now == nil {
		return
	}
	if now.Before(a.collectAt) {
		a.again(a.collectAt)
		return
	}
	a.collectAt = now.Add(collectEvery)
	if err := a.collect(ctx, seen, wanted); err != nil {
		a.problem("", errors.Join(a.orders.wrong, fmt.Errorf("garbage is not collected: %w", err)))
	}
}

// do takes a step. It records a problem when it can't.
func (a *Agent) do(ctx context.Context, s plan.Step) {
	name := s.Instance.String()
	switch s.Do {
	case plan.Blocked:
		a.problem(name, errors.New(s.Why))
	case plan.Stop:
		a.problem(name, a.stop(ctx, s.Instance))
	case plan.Remove:
		a.problem(name, a.remove(ctx, s.Instance))
	case plan.Start:
		a.tryStart(ctx, s)
	}
}

// stop asks an instance to end, after its proxy has left.
func (a *Agent) stop(ctx context.Context, i plan.Instance) error {
	if gone, err := a.leaveProxy(ctx, i); !gone {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := shim.Ask(ctx, a.instanceDir(i), shim.DoStop, -1)
	if errors.Is(err, shim.ErrGone) {
		return nil
	}
	return err
}

// tryStart starts an instance, if it is time to.
func (a *Agent) tryStart(ctx context.Context, s plan.Step) {
	name := s.Instance.String()
	if t := a.tries[s.Instance]; t != nil && time.Now().Before(t.next) {
		a.again(t.next)
		return // its problem stands
	}
	found, user, err := a.approved(s)
	if err == nil && found.Manifest.Run.Proxy != nil {
		ready, proxyErr := a.readyProxy(ctx, s, found.Manifest)
		if !ready && proxyErr == nil {
			a.again(time.Now().Add(proxyWait))
			a.problem(name, errors.New("its proxy is starting"))
			return
		}
		err = proxyErr
	}
	t := a.pace(s.Instance, a.tries)
	if err == nil {
		err = a.start(ctx, s, found, user)
	}
	if err != nil {
		a.again(t.next)
	}
	if errors.Is(err, artifact.ErrNotFound) {
		delete(a.here, s.Wanted.Artifact) // a collection of garbage has taken it
	}
	a.problem(name, err)
}

// seen is what a plan's steps know of an instance. One is up when its program runs, answers the check of its manifest,
// and is on the list of the registry if it has skerry in it.
func (a *Agent) seen(i Instance) plan.Seen {
	s := i.seen()
	s.Up = s.Up && a.listed(i)
	return s
}

// reached reports whether every shim answers.
func (a *Agent) reached() bool {
	return !slices.ContainsFunc(append(a.watches.list(), a.proxies.list()...), func(i Instance) bool {
		return i.Phase == unknown
	})
}

func (a *Agent) listed(i Instance) bool {
	return i.record.Check != "" || a.config.Listed == nil || a.config.Listed(i.record.Instance, i.PID)
}

// notUp says why an instance is not up, though it runs.
func (a *Agent) notUp(i Instance) error {
	switch {
	case !i.silent:
		return errors.New("it runs, and the registry does not list it")
	case i.why != nil:
		return fmt.Errorf("it runs, and its check does not answer: %w", i.why)
	}
	return errors.New("it runs, and was not checked yet")
}

// ports is the number of ports that an instance needs.
func (a *Agent) ports(w plan.Wanted) int {
	found, err := a.store.Get(w.Artifact)
	if err != nil {
		return 0 // the start says why
	}
	return len(found.Manifest.Run.Ports)
}

// markGood has the store keep what was up for a minute.
func (a *Agent) markGood(ctx context.Context, s Instance) {
	d := s.record.Artifact
	if a.good[d] || s.Phase != string(shim.Up) || !a.seen(s).Up || time.Since(s.Since) < goodTime {
		return
	}
	if a.store.MarkGood(ctx, d) == nil {
		a.good[d] = true
	}
}

func (a *Agent) problem(name string, err error) {
	if err == nil {
		delete(a.problems, name)
		return
	}
	a.problems[name] = err.Error()
}

// say writes agent.json when it has changed.
func (a *Agent) say() {
	s := said{PID: os.Getpid(), Program: a.command[0], Proved: a.reached(), Began: a.began,
		Cluster: a.config.Cluster, Host: a.config.Host, Problems: a.problems}
	s.Fetching, s.Network = a.networkSays()
	if h, _ := a.orders.current(); h != nil {
		s.Plan, s.By, s.At = h.plan.Number, h.By, &h.At
	}
	text, err := json.Marshal(s)
	if err != nil || string(text) == a.said {
		return
	}
	if statedir.WriteFile(filepath.Join(a.config.Dir, "agent.json"), text) == nil { // else at the next turn
		a.said = string(text)
	}
}

// look asks the shims of a directory, sorted.
func look(ctx context.Context, dir string) (all []Instance, err error) {
	err = records(dir, "instances", func(path string, r record) {
		i := see(ctx, path, r)
		i.Proxy = proxyPhase(ctx, dir, r)
		all = append(all, i)
	})
	sortRecords(all)
	return all, err
}

func sortRecords(all []Instance) {
	slices.SortFunc(all, func(a, b Instance) int { return a.record.Instance.Compare(b.record.Instance) })
}

// records finds the instances of a directory, or their proxies.
func records(dir, kind string, each func(path string, r record)) error {
	entries, err := os.ReadDir(filepath.Join(dir, kind))
	if errors.Is(err, fs.ErrNotExist) && kind == "proxies" {
		return nil // of an agent before
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, kind, e.Name())
		r, err := readRecord(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the agent was killed before it wrote it, and started nothing
		}
		if err != nil {
			return err
		}
		each(path, r)
	}
	return nil
}

func readRecord(dir string) (r record, err error) {
	path := filepath.Join(dir, "instance.json")
	text, err := statedir.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%q: %w", path, err)
	}
	return r, nil
}
