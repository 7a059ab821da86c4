package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// Config configures a Controller. Site, Store and By are required.
type Config struct {
	Site    Site
	Store   Store
	Cluster string        // the cluster of the log
	Trust   rollout.Trust // decides which signatures count; nil: all entries that continue the log are obeyed
	Signer  Signer        // signs new entries; nil: no signature, for a Trust that accepts all
	By      string        // the operator, for the audit trail
	Without []string      // processes, host/pid or hosts that are dead, as the operator vouches; recorded in the log
	Pause   time.Duration // between two polls of the site while waiting; 0 means 500 ms

	CutStreams bool // Clean ends streams of the outgoing versions that were told to move and are open still

	// Progress receives what a long step waits for; nil: not reported.
	Progress func(Progress)
}

// Progress is what a step waits for.
type Progress struct {
	Step    string            // "wait", "see", "drain", "stop", "ramp"; exclusive: "moment", "leave", "begin"
	Service string            // the service that waits
	Version string            // its version that must leave or start
	Holders []rollout.Blocker // what holds it back
	Runs    []string          // processes that run the version (leave) or wait to run it (begin)
	Waiting time.Duration     // since the step began
	Note    string

	// For "ramp":
	Share   int           // per ten thousand, on trial
	Left    time.Duration // until the next share; negative: the ramp waits for more calls to judge the version by
	Watched []Watched     // the guard's counts for each new version
	Silent  int           // processes that did not report their counts
	Over    bool          // the last poll of this share
}

// Controller carries out the steps of a release. It keeps no state of the release
// between them, because the log has it. Its methods must not run concurrently.
type Controller struct {
	cfg    Config
	outage outage
}

// New returns a controller. It does no I/O.
func New(cfg Config) *Controller {
	cfg.Pause = cmp.Or(cfg.Pause, 500*time.Millisecond)
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	return &Controller{cfg: cfg}
}

// readLog is Log without waiting for the database.
func (c *Controller) readLog(ctx context.Context) (*rollout.Log, []rollout.Entry, error) {
	entries, err := c.cfg.Store.Since(ctx, rollout.Generation{})
	if err != nil {
		if !errors.Is(err, rollout.ErrFork) && !errors.Is(err, ErrFrozen) {
			err = fmt.Errorf("%w: %w", ErrFrozen, err)
		}
		return nil, nil, fmt.Errorf("read the rule log: %w", err)
	}
	c.outage.answered()
	log, err := rollout.Replay(entries)
	if err != nil {
		return nil, nil, fmt.Errorf("read the rule log: %w", err)
	}
	if n, err := rollout.Vouched(c.cfg.Trust, entries, nil); n < len(entries) {
		return nil, nil, fmt.Errorf("read the rule log: its last %d of %d entries are not obeyed: %w; if the keys "+
			"are right, review them (release log --verify), then keep them (release vouch) or end them (release adopt)",
			len(entries)-n, len(entries), err)
	}
	return log, entries, nil
}

// change is the effect of a step on the log.
type change struct {
	session rollout.Release
	rules   map[string]rollout.Rule
	retire  []rollout.Retirement
}

// stepOf computes the change of a step.
type stepOf func(*rollout.Log, rollout.Release, rollout.Generation) (change, error)

// step appends one entry and sends it to all processes.
func (c *Controller) step(ctx context.Context, text string, f stepOf) error {
	return c.stepAfter(ctx, text, f, func([]rollout.Entry) error { return nil })
}

// stepAfter is step that calls ready before the commit, with the log including
// the signed entry. An error of ready prevents the commit.
func (c *Controller) stepAfter(ctx context.Context, text string, f stepOf, ready func([]rollout.Entry) error) error {
	log, entries, err := c.Log(ctx)
	if err != nil {
		return err
	}
	if err := c.restored(ctx, log, entries); err != nil {
		return err
	}
	if len(c.cfg.Without) > 0 {
		text += ", without " + strings.Join(c.cfg.Without, ", ")
	}
	e, err := c.draft(log, text, f)
	if err != nil {
		return err
	}
	err = c.understood(ctx, e)
	if err == nil {
		err = ready(append(entries[:len(entries):len(entries)], e))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return c.publish(ctx, text, entries, e, c.cfg.Store.Append)
}

// draft returns the signed entry of a step.
func (c *Controller) draft(log *rollout.Log, text string, f stepOf) (rollout.Entry, error) {
	session, _ := log.Session()
	e := log.Next("", nil)
	next, err := f(log, session, e.Generation)
	if err != nil {
		return e, err
	}
	e.Release = next.session.Name
	e.Session = &next.session
	e.Rules = next.rules
	e.Retire = next.retire
	if e, err = c.sealed(e, text); err != nil {
		return e, fmt.Errorf("%s: %w", text, err)
	}
	return e, nil
}

// publish appends an entry to the known log and sends it to all processes.
func (c *Controller) publish(ctx context.Context, text string, entries []rollout.Entry, e rollout.Entry,
	to func(context.Context, rollout.Entry) error) error {
	if err := c.append(ctx, e, to); err != nil {
		if errors.Is(err, rollout.ErrFork) || errors.Is(err, rollout.ErrGap) || errors.Is(err, rollout.ErrPromised) {
			err = fmt.Errorf("another operator's step is under way, or was cut off (refresh completes it); look at "+
				"the status and decide again: %w", err)
		}
		return fmt.Errorf("%s: %w", text, err)
	}
	c.sendLog(ctx, append(entries, e))
	return nil
}

// sealed completes an entry and signs it. The key must be trusted here: another
// signature would freeze the log.
func (c *Controller) sealed(e rollout.Entry, text string) (rollout.Entry, error) {
	e.Cluster = c.cfg.Cluster
	e.By = c.cfg.By
	e.Step = text
	e.At = time.Now().UTC().Round(time.Microsecond)
	e, err := e.Seal()
	if err == nil {
		e, err = signed(c.cfg.Signer, e)
	}
	if err == nil {
		_, err = e.SignedBy(c.cfg.Trust)
	}
	return e, err
}

// errSign: the operator's key can't sign, for example because ssh-agent has
// ended.
var errSign = errors.New("sign")

// signed returns the entry with the signer's proof.
func signed(s Signer, e rollout.Entry) (rollout.Entry, error) {
	if s == nil {
		return e, nil
	}
	proof, err := s.Sign(rollout.ForRelease, e.Body())
	if err != nil {
		return e, fmt.Errorf("%w the step: %w", errSign, err)
	}
	return e.WithProof(proof), nil
}

// understood checks with every process that it understands the entry's needs.
func (c *Controller) understood(ctx context.Context, e rollout.Entry) error {
	if len(e.Needs) == 0 {
		return nil
	}
	var old []string
	for _, m := range c.poll(ctx).Members {
		for _, need := range e.Needs {
			if m.Silent == "" && !slices.Contains(m.report.Knows, need) {
				old = append(old, m.Process+" lacks "+need)
			}
		}
	}
	if len(old) > 0 {
		return fmt.Errorf("%w: %s; upgrade it first", ErrTooOld, strings.Join(old, ", "))
	}
	return nil
}

// restored fails when a process has applied entries that the log lacks.
func (c *Controller) restored(ctx context.Context, log *rollout.Log, entries []rollout.Entry) error {
	return c.restoredBy(c.poll(ctx), log, entries)
}

func (c *Controller) restoredBy(s Status, log *rollout.Log, entries []rollout.Entry) error {
	for _, m := range s.Members {
		if m.Silent != "" || m.Applied == (rollout.Generation{}) {
			continue
		}
		i := slices.IndexFunc(entries, func(e rollout.Entry) bool { return e.Generation == m.Applied })
		if (i < 0 || entries[i].Hash() != m.Hash) &&
			!ends(entries, rollout.Position{Generation: m.Applied, Hash: m.Hash}) {
			return fmt.Errorf("%s has applied generation %v, the log ends with %v: %w; adopt what the processes "+
				"have, then go on",
				m.Process, m.Applied, log.Last(), ErrRestored)
		}
	}
	return nil
}

// Start opens a release. It fails while another one is open.
func (c *Controller) Start(ctx context.Context, name, reason, mark string) error {
	return c.Open(ctx, name, reason, mark, nil)
}

// Open is Start, and gives a rule to services that have none, in the same step.
// The keys of serving are these services, and its values are the only versions
// that run. With a rule, a second version can start without getting requests.
// notes follow the reason in the audit trail.
func (c *Controller) Open(ctx context.Context, name, reason, mark string, serving map[string]string,
	notes ...string) error {
	return c.step(ctx, strings.Join(append([]string{"start: " + reason}, notes...), "; "),
		func(log *rollout.Log, old rollout.Release, _ rollout.Generation) (change, error) {
			if old.Name != "" && !old.Finished() {
				return change{}, fmt.Errorf("start %s: %w: %s by %s since %s (%s), %s; go on with it, or roll it "+
					"back and clean it",
					name, ErrOpen, old.Name, old.By, old.Opened.Format(time.RFC3339), old.Reason, old.State)
			}
			if name == "" || name == old.Name {
				return change{}, fmt.Errorf("start: the name %q is empty or in use; choose another", name)
			}
			rules := map[string]rollout.Rule{}
			for service, version := range serving {
				if _, known := log.Rule(service); !known {
					rules[service] = rollout.Rule{Version: version}
				}
			}
			return change{rules: rules,
				session: rollout.Release{Name: name, By: c.cfg.By, Reason: reason, Mark: cmp.Or(mark, name),
					Opened: time.Now().UTC().Round(time.Second), State: rollout.Prepared}}, nil
		})
}

// Ship adds modules to the open release. Only verifiers' requests meet their new
// versions. These must be registered: skerry does not start them. Ship does not
// wait for a version that may not run beside the old one, because it can't start
// yet.
func (c *Controller) Ship(ctx context.Context, modules ...rollout.Module) error {
	names := ""
	for _, m := range modules {
		names += " " + m.Service + " " + m.New
		if m.Strategy.Exclusive() {
			names += " (" + string(m.Strategy) + ")"
			continue
		}
		if err := c.awaitUp(ctx, m.Service, m.New); err != nil {
			return err
		}
	}
	if err := c.awaitSeen(ctx, modules); err != nil {
		return err
	}
	return c.step(ctx, "ship"+names, func(log *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
		out := change{session: r, rules: map[string]rollout.Rule{}}
		for _, m := range modules {
			next, rules, err := out.session.Ship(log, m)
			if err != nil {
				return out, err
			}
			out.session, out.rules[m.Service] = next, rules[m.Service]
		}
		return out, nil
	})
}

// awaitUp is checkUp that waits while the database, and with it the lists, is
// away.
func (c *Controller) awaitUp(ctx context.Context, service, version string) error {
	for {
		missing := c.checkUp(ctx, service, version)
		if missing == nil {
			return nil
		}
		if settled, err := c.settled(ctx); err != nil {
			return err
		} else if settled || run.Sleep(ctx, c.cfg.Pause) != nil {
			return missing
		}
	}
}

// checkUp returns an error when no instance of a version is registered.
func (c *Controller) checkUp(ctx context.Context, service, version string) error {
	list, err := c.cfg.Site.Instances(ctx, service)
	if err != nil {
		return fmt.Errorf("look for %s %s: %w", service, version, err)
	}
	if !slices.ContainsFunc(list, func(in Instance) bool { return in.Version == version }) {
		return fmt.Errorf("no instance of %s %s is registered; start one, then ship it", service, version)
	}
	return nil
}

// Commit sends a share of the new traces, per ten thousand, to the new versions.
// rollout.Whole is the switch. For a module with an exclusive strategy, Commit
// then waits until the old version has stopped and the new one is up. New traces
// that call the module wait meanwhile. If ctx ends first, a second Commit
// continues, or Rollback returns to the old versions.
func (c *Controller) Commit(ctx context.Context, share int) error {
	return c.commit(ctx, share, func([]rollout.Entry) error { return nil })
}

// commit is Commit that calls ready with the new log before the share starts.
func (c *Controller) commit(ctx context.Context, share int, ready func([]rollout.Entry) error) error {
	text := "commit " + percent(float64(share)/rollout.Whole)
	log, _, err := c.Log(ctx)
	if err != nil {
		return err
	}
	if r, _ := log.Session(); r.State == rollout.Switched && share == rollout.Whole && len(r.ChangingOver(log)) > 0 {
		return c.handover(ctx)
	} else if err := c.awaitSeen(ctx, r.Modules); err != nil {
		return err
	}
	if err := c.awaitMoment(ctx, log); err != nil {
		return err
	}
	err = c.stepAfter(ctx, text, func(log *rollout.Log, r rollout.Release, at rollout.Generation) (change, error) {
		for _, m := range r.Modules {
			if m.Strategy.Exclusive() {
				continue // it starts in handover, after the old one has stopped
			}
			if err := c.awaitUp(ctx, m.Service, m.New); err != nil {
				return change{}, err
			}
		}
		next, rules, err := r.Commit(log, share, at)
		return change{session: next, rules: rules}, err
	}, ready)
	if err != nil {
		return err
	}
	return c.handover(ctx)
}

// Rollback sends all new traces to the old versions again. If a new version has
// the turn and may not run beside the old one, Rollback waits until it has
// stopped and the old one is up. A second Rollback continues an interrupted
// one.
func (c *Controller) Rollback(ctx context.Context) error { return c.rollback(ctx, "roll back") }

func (c *Controller) rollback(ctx context.Context, text string) error {
	log, _, err := c.Log(ctx)
	if err != nil {
		return err
	}
	if r, _ := log.Session(); r.State == rollout.RollingBack && len(r.ChangingOver(log)) > 0 {
		return c.handover(ctx)
	}
	err = c.step(ctx, text, rollbackStep)
	if err != nil {
		return err
	}
	return c.handover(ctx)
}

// rollbackStep is the step that sends all new traces to the old versions.
func rollbackStep(log *rollout.Log, r rollout.Release, at rollout.Generation) (change, error) {
	next, rules, err := r.Rollback(log, at)
	return change{session: next, rules: rules}, err
}
