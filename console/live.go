package console

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/site/spread"
)

const (
	watchedPeriod = 2 * time.Second  // between two looks while a page is open
	idlePeriod    = pointPeriod      // between two looks otherwise: for the figures of the last hour
	watchedTime   = 15 * time.Second // after a request a page counts as open
	recentPeriod  = 5 * time.Second  // between two questions for the calls of the last minute
	stateEvery    = 5 * time.Second  // between two questions for the conditions of processes, while a page is open
	lookLimit     = 4 * time.Second  // a process that is slower counts as silent
	keptPoints    = 60
	signerPeriod  = time.Minute // after which signatures of the log of releases are verified anew
	silentText    = 300         // letters of what a process answered in place of an answer
	keptFlows     = 5           // of so many points one keeps its flows
)

// live is the site of a node.
type live struct {
	cfg     Config
	begun   time.Time
	asked   atomic.Int64 // Unix time in ns of the last request
	wake    chan struct{}
	traces  *askedTraces
	members memberLog
	current atomic.Pointer[snapshot]
	agents  atomic.Pointer[spread.Site] // nil: they are not asked yet
	hosts   atomic.Pointer[[]spread.HostStatus]

	mu       sync.Mutex     // of a look
	past     []sums         // oldest first, one for each look, of the last minute and some
	marks    []mark         // one for each pointPeriod of the last hour
	recent   control.Recent // without Calls
	flows    []flow         // of recent
	made     map[made]bool  // whose calls recent has
	own      map[place]*figures
	recentAt time.Time
	policy   policyMemory

	conditions  map[string]control.Condition // by process
	conditionAt time.Time

	signers   map[string]releases.Signer // by hash of an entry of the log of releases
	signersAt time.Time
	minutes   []minute                    // of the last hour, oldest first
	usual     map[[2]string]time.Duration // of minutes
	stored    stored
}

// sums are the counts of all processes since their start, at a time.
type sums struct {
	at    time.Time
	flows map[flowKey]counted
}

type flowKey struct{ process, caller, service, version, instance string }

type counted struct {
	calls, failed int64
	kinds         map[string]int64
}

// mark is what is kept of the past.
type mark struct {
	point point
	flows []flow // by caller and service; nil: not kept
}

func newLive(cfg Config) *live {
	l := &live{cfg: cfg, begun: time.Now(), wake: make(chan struct{}, 1)}
	if cfg.Node != nil {
		l.traces = &askedTraces{of: control.NewTracer(cfg.Node)}
	}
	l.current.Store(&snapshot{Cluster: cfg.Cluster, Title: cfg.Title, Host: cfg.Host, Release: cfg.Release, At: l.begun,
		Begun: l.begun})
	return l
}

// run looks at the site until ctx ends: every two seconds while pages are open, else once a minute.
func (l *live) run(ctx context.Context) {
	defer l.saveUses(true)
	for {
		l.look(ctx)
		l.saveUses(false)
		period := idlePeriod
		if time.Since(time.Unix(0, l.asked.Load())) < watchedTime {
			period = watchedPeriod
		}
		timer := time.NewTimer(period)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.wake:
			timer.Stop()
			if run.Sleep(ctx, 50*time.Millisecond) != nil { // requests come in bunches
				return
			}
		case <-timer.C:
		}
	}
}

// snapshot implements [site]. The first request after a pause waits for a look, up to its limit.
func (l *live) snapshot(ctx context.Context) *snapshot {
	before := l.asked.Swap(time.Now().UnixNano())
	s := l.current.Load()
	if time.Since(time.Unix(0, before)) < watchedTime && time.Since(s.At) < 2*watchedPeriod {
		return aged(s)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	for end := time.Now().Add(lookLimit); time.Now().Before(end); {
		if run.Sleep(ctx, 20*time.Millisecond) != nil {
			break
		}
		if newer := l.current.Load(); newer != s {
			return aged(newer)
		}
	}
	return aged(l.current.Load())
}

// aged is a snapshot with its age of now.
func aged(s *snapshot) *snapshot {
	c := *s
	c.Oldest += time.Since(s.At)
	return &c
}

// look asks the processes and makes the next snapshot.
func (l *live) look(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	n, begun := l.cfg.Node, time.Now()
	s := &snapshot{Tracer: l.traces, Cluster: l.cfg.Cluster, Title: l.cfg.Title, Host: l.cfg.Host,
		Release: l.cfg.Release, Begun: l.begun}
	var (
		known  []control.Identity
		silent map[string]error
		counts []control.Counts
		policy control.PolicyState
		wg     sync.WaitGroup
	)
	wg.Go(func() { known, silent, _ = control.Identities(ctx, n) })
	wg.Go(func() { counts, _, _ = control.AllCounts(ctx, n, time.Hour) })
	wg.Go(func() { l.lookAtReleases(ctx, s) })
	wg.Go(func() { policy, _ = control.NewPolicies(n, control.Operator{}).Look(ctx) })
	wg.Go(func() { l.lookAtCalls(ctx) })
	wg.Go(func() { l.lookAtConditions(ctx) })
	wg.Wait()
	s.Entries, s.Sources = n.Explain(""), n.Sources("")
	s.Hosts, s.agentLog = l.hostList(), l.agentLog
	l.tellProcesses(s, known, silent, policy)
	l.tellPolicy(s, policy)
	s.At = time.Now()
	s.Oldest = s.At.Sub(begun)
	l.tellFlows(s, counts)
	s.lines = s.edges()
	s.rows = s.services()
	l.policy.tellUses(s, counts, known)
	l.lookAtDenied(ctx)
	s.Policy.Denied, s.Policy.DeniedAt = l.policy.denied, l.policy.deniedAt
	l.compareMembers(s.Entries)
	s.Members = l.members.all()
	s.Findings = s.find()
	l.current.Store(s)
}

// lookAtReleases asks for the state of releases, and for what the open one waits for.
func (l *live) lookAtReleases(ctx context.Context, s *snapshot) {
	to := releases.New(l.cfg.Node, control.Operator{}, 0, releases.Teller{Note: func(string, ...any) {}}, nil)
	s.Rollout = to.Status(ctx)
	if time.Since(l.signersAt) > signerPeriod {
		l.signers, l.signersAt = map[string]releases.Signer{}, time.Now()
	}
	for _, e := range s.Rollout.Trail {
		signer, known := l.signers[e.Hash()]
		if !known {
			signer.Name, signer.Err = control.SignerOf(l.cfg.Node, e)
			l.signers[e.Hash()] = signer
		}
		s.Signers = append(s.Signers, signer)
	}
	at := s.releaseSite()
	at.Instances = l.cfg.Node.Explain("")
	s.Holders, s.Copies, _ = releases.Waits(ctx, to, at) // processes that do not answer are findings of their own
}

// lookAtCalls asks for the calls of the last minute.
func (l *live) lookAtCalls(ctx context.Context) {
	now := time.Now()
	if now.Sub(l.recentAt) < recentPeriod {
		return
	}
	if r, err := control.AllRecent(ctx, l.cfg.Node, flowTime); err == nil {
		l.flows, l.own, l.made = flowsOf(r.Calls), ownFigures(r.Calls), madeBy(r.Calls)
		r.Calls = nil
		l.recent, l.recentAt = r, now
	}
}

// lookAtConditions asks for the conditions of processes while a page is open.
func (l *live) lookAtConditions(ctx context.Context) {
	now := time.Now()
	if now.Sub(time.Unix(0, l.asked.Load())) >= watchedTime || now.Sub(l.conditionAt) < stateEvery {
		return
	}
	list, err := control.Conditions(ctx, l.cfg.Node)
	if err != nil {
		return
	}
	l.conditions, l.conditionAt = map[string]control.Condition{}, now
	for _, c := range list {
		l.conditions[c.Process] = c
	}
}

// tellProcesses joins what processes have said.
func (l *live) tellProcesses(s *snapshot, known []control.Identity, silent map[string]error, p control.PolicyState) {
	byName := map[string]*processInfo{}
	at := func(name string) *processInfo {
		if byName[name] == nil {
			byName[name] = &processInfo{Name: name, Host: hostOf(name), Runs: []string{}, Sources: []string{}}
		}
		return byName[name]
	}
	for _, id := range known {
		m := at(id.Process)
		m.Addr, m.Release, m.Up = id.Addr, id.Release, id.Up
	}
	if time.Since(l.conditionAt) < watchedTime { // older ones say nothing of now
		for name, m := range byName {
			if c, told := l.conditions[name]; told {
				m.Condition = &c
			}
		}
	}
	for name, err := range silent {
		at(name).Silent = short(quote.Text(err.Error()), silentText)
	}
	for _, m := range s.Rollout.Members {
		if byName[m.Process] != nil {
			byName[m.Process].Applied = m.Applied
		}
	}
	for _, said := range p.Processes {
		if m := byName[said.Process]; m != nil && said.Err == nil {
			m.Policy = said.Status.Number
			if o := policychange.Obeys(said, p.Current()); !o.Obeys {
				m.NotObeyed = o.Why
			}
		}
	}
	entries := append(l.cfg.Node.Explain("skerry.node"), s.Entries...)
	for _, e := range entries {
		m := byName[e.Owner]
		if m == nil {
			continue // it has ended, or is the console
		}
		for _, src := range e.Sources {
			if !slices.Contains(m.Sources, src.Name) {
				m.Sources = append(m.Sources, src.Name)
			}
		}
		if name := strings.TrimSuffix(e.Service+"/"+e.Version, "/"); !strings.HasPrefix(e.Service, internalPrefix) &&
			!slices.Contains(m.Runs, name) {
			m.Runs = append(m.Runs, name)
		}
	}
	for _, name := range sorted(byName) {
		m := byName[name]
		slices.Sort(m.Runs)
		slices.Sort(m.Sources)
		s.Processes = append(s.Processes, *m)
	}
}

func (l *live) tellPolicy(s *snapshot, p control.PolicyState) {
	if p.Log == nil {
		return
	}
	s.Policy.Log, s.Policy.Signers = p.Log.Entries(), map[string]string{}
	s.Policy.Current = p.Current()
	s.Policy.Newest, _ = p.Log.Newest()
	s.Policy.Applied = p.Ages
	s.Policy.Table = l.policy.table(s.Policy.Current, p.Ages)
	for _, e := range s.Policy.Log {
		if by, err := control.PolicySignerOf(l.cfg.Node, e); err == nil {
			s.Policy.Signers[e.Hash()] = by
		}
	}
	if p.Doubt != nil {
		s.Policy.Doubt = p.Doubt.Error()
	}
}
