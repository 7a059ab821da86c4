package console

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/discovery"
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

// tellFlows joins what callers and callees have counted in the last minute. Counts since the start of each process
// become those of a minute: they alone tell instances, and processes of older releases have no other.
func (l *live) tellFlows(s *snapshot, counts []control.Counts) {
	now := sums{at: s.At, flows: map[flowKey]counted{}}
	callers := servicesOf(s.Entries)
	for _, c := range counts {
		for _, of := range c.Slower {
			for _, r := range of {
				if r.Made && !strings.HasPrefix(r.Service, internalPrefix) {
					k := flowKey{c.Process, callers[c.Process], r.Service, r.Version, r.Peer}
					now.flows[k] = counted{r.Calls, r.Failures, r.Kinds}
				}
			}
		}
	}
	l.past = append(l.past, now)
	for len(l.past) > 2 && s.At.Sub(l.past[1].at) >= flowTime {
		l.past = l.past[1:]
	}
	s.Attempts = between(l.past[0], now, func(flowKey) bool { return true })
	s.Flows, s.Own, s.Trends = slices.Clip(l.flows), l.own, l.recent.Trends
	s.Untold = untold{Kinds: l.recent.KindsLeft, Calls: l.recent.CallsLeft}
	for _, process := range sorted(l.recent.Silent) {
		if errors.Is(l.recent.Silent[process], control.ErrRecentTooOld) {
			s.Untold.Older = append(s.Untold.Older, process)
		}
	}
	s.Flows = append(s.Flows, between(l.past[0], now, l.untold())...)
	l.keep(s)
}

// made are the calls of a process to a service.
type made struct{ process, service string }

func madeBy(calls []control.RecentCalls) map[made]bool {
	m := map[made]bool{}
	for i := range calls {
		if c := &calls[i]; !c.Served {
			m[made{c.Process, c.Service}] = true
		}
	}
	return m
}

// untold reports of counts whether neither their caller nor its callees have told these calls otherwise. So it is with
// calls of older releases.
func (l *live) untold() func(flowKey) bool {
	type edge struct{ from, to string }
	served := map[edge]bool{}
	for _, f := range l.flows {
		if f.Served {
			served[edge{f.Caller, f.Service}] = true
		}
	}
	return func(k flowKey) bool {
		return !l.made[made{k.process, k.service}] && !served[edge{k.caller, k.service}]
	}
}

// keep keeps of a snapshot what the next hour compares itself with.
func (l *live) keep(s *snapshot) {
	if len(l.marks) == 0 || s.At.Sub(l.marks[len(l.marks)-1].point.At) >= pointPeriod {
		m, kept := mark{point: s.now()}, false
		for _, before := range l.marks[max(0, len(l.marks)-keptFlows+1):] {
			kept = kept || before.flows != nil
		}
		if !kept {
			m.flows = byEdge(s.Flows)
		}
		l.marks = append(l.marks, m)
		edges := s.edges()
		l.minutes = append(l.minutes, minute{s.At.Truncate(time.Minute), edges[:min(len(edges), mostEdges)]})
		l.minutes = l.minutes[max(0, len(l.minutes)-keptPoints):]
		l.usual = usualOf(l.minutes)
		l.marks = l.marks[max(0, len(l.marks)-keptPoints):]
	}
	for i := len(l.marks) - 1; i >= 0; i-- {
		if m := l.marks[i]; m.flows != nil && s.At.Sub(m.point.At) > 50*time.Minute {
			s.Before = m.flows
		}
	}
	s.Minutes, s.usual = slices.Clone(l.minutes), l.usual
	if l.cfg.Node != nil && l.cfg.Node.Membership().Database() != nil {
		s.stored = l.storedEdges
	}
	for _, m := range l.marks {
		s.Hour = append(s.Hour, m.point)
	}
}

// byEdge adds flows up by caller and service, without their kinds.
func byEdge(flows []flow) []flow {
	type edge struct{ from, to string }
	sums := tally(flows, func(f flow) (edge, bool) { return edge{f.Caller, f.Service}, true })
	list := make([]flow, 0, len(sums))
	for e, f := range sums {
		list = append(list, flow{Caller: e.from, Service: e.to, Calls: f.Calls, Failed: f.Failed, Latency: f.Latency,
			Rate: f.rate})
	}
	return list
}

// flowsOf joins the counts of all processes: those of callers, and those of callees for callers that have told none.
func flowsOf(calls []control.RecentCalls) []flow {
	type key struct {
		caller, service, version, method string
		served                           bool
	}
	list, at := []flow{}, map[key]int{}
	sums := []figures{}
	for i := range calls {
		c := &calls[i]
		if c.Twice {
			continue
		}
		k := key{c.Caller, c.Service, c.Version, c.Method, c.Served}
		j, known := at[k]
		if !known {
			j = len(list)
			at[k] = j
			list = append(list, flow{Caller: c.Caller, Service: c.Service, Version: c.Version, Method: c.Method,
				Served: c.Served})
			sums = append(sums, figures{})
		}
		sums[j].add(counts(c))
	}
	for i, f := range sums {
		list[i].Calls, list[i].Failed, list[i].Kinds, list[i].Latency, list[i].Rate = f.Calls, f.Failed, f.Kinds,
			f.Latency, f.rate
	}
	return list
}

// ownFigures are what the instances have counted.
func ownFigures(calls []control.RecentCalls) map[place]*figures {
	own := map[place]*figures{}
	for i := range calls {
		c := &calls[i]
		if !c.Served {
			continue
		}
		at := place{c.Process, c.Service, c.Version}
		if own[at] == nil {
			own[at] = &figures{}
		}
		own[at].add(counts(c))
	}
	return own
}

func counts(c *control.RecentCalls) flow {
	return flow{Calls: c.Calls, Failed: c.Failed, Kinds: c.Kinds, Latency: c.Latency, Rate: c.Rate}
}

// servicesOf names each process by the service that it offers: the first by name, of several.
func servicesOf(entries []discovery.Entry) map[string]string {
	m := map[string]string{}
	for i := range entries {
		e := &entries[i]
		if !strings.HasPrefix(e.Service, internalPrefix) && (m[e.Owner] == "" || e.Service < m[e.Owner]) {
			m[e.Owner] = e.Service
		}
	}
	return m
}

// between are the calls between two times, as those of a minute. A process that began between the two counts from its
// start; one with smaller counts than before is another one of its name, and counts from its start, too.
func between(from, to sums, wanted func(flowKey) bool) []flow {
	took := to.at.Sub(from.at)
	if took <= 0 {
		return nil
	}
	scale := func(n int64) int64 { return int64(float64(n)*float64(flowTime)/float64(took) + 0.5) }
	joined := map[flowKey]*flow{}
	for k, c := range to.flows {
		if !wanted(k) {
			continue
		}
		b := from.flows[k]
		if b.calls > c.calls {
			b = counted{}
		}
		if c.calls == b.calls {
			continue
		}
		key := k
		key.process = ""
		f := joined[key]
		if f == nil {
			f = &flow{Caller: k.caller, Service: k.service, Version: k.version, Instance: k.instance,
				Kinds: map[string]int64{}}
			joined[key] = f
		}
		f.Calls += scale(c.calls - b.calls)
		f.Failed += scale(c.failed - b.failed)
		for kind, n := range c.kinds {
			if n > b.kinds[kind] {
				f.Kinds[kind] += scale(n - b.kinds[kind])
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(joined), func(a, b flowKey) int {
		return cmp.Or(cmp.Compare(a.caller, b.caller), cmp.Compare(a.service, b.service),
			cmp.Compare(a.version, b.version), cmp.Compare(a.instance, b.instance))
	})
	list := make([]flow, 0, len(keys))
	for _, k := range keys {
		list = append(list, *joined[k])
	}
	return list
}

var _ site = (*live)(nil)
