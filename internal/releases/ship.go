package releases

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// notShipped adds the remaining modules to the error when one of several failed.
func notShipped(err error, done, left []string) error {
	if len(done)+len(left) == 1 {
		return err
	}
	state := "no module is shipped"
	if len(done) > 0 {
		state = "shipped: " + strings.Join(done, ", ") + "; not shipped: " + strings.Join(left, ", ")
	}
	return &Error{Explain(err).Kind, quote.Errorf("%w\n%s\nNext: mend it, and then: skerry release ship %s", err, state,
		strings.Join(left, " "))}
}

// HowToPreview describes how a request reaches the preview.
func HowToPreview(r rollout.Release) string {
	return fmt.Sprintf("the mark %s (browsers: cookie %s=%s)", r.Mark, gateway.PreviewCookie, r.Mark)
}

// modules returns the modules to ship, and their order.
func (sh Shipping) modules(s Site, r rollout.Release, names []string) (map[string]Module, []string, error) {
	if len(names) == 0 || slices.Equal(names, []string{"all"}) {
		names = slices.Collect(maps.Keys(sh.Manifest))
		for name, values := range r.Settings { // bounds alone need no ship
			if values["version"] != "" {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return nil, nil, errors.New("nothing to ship: name a module, or list modules in release.yaml or " +
				"by skerry release config put")
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	if len(names) > 1 && (sh.Version != "" || sh.Old != "" || sh.Check != "") {
		return nil, nil, errors.New(
			"--version, --old and --check are of one module; name one, or put them into release.yaml")
	}
	log, err := s.Log()
	if err != nil {
		return nil, nil, err
	}
	out := map[string]Module{}
	for _, name := range names {
		m := sh.Module.or(moduleOf(r.Settings[name])).or(sh.Manifest[name])
		if rule, known := log.Rule(name); known {
			m.Old = rule.Version
		}
		if m, err = complete(s, name, m); err != nil {
			return nil, nil, err
		}
		out[name] = m
	}
	return out, names, nil
}

// complete fills in the values that no source has set, and checks the module.
func complete(s Site, name string, m Module) (Module, error) {
	if m.Version == "" {
		return m, fmt.Errorf("ship %s: which version? --version, or skerry release config put %s version=…", name, name)
	}
	if err := errors.Join(checkNames(name, m), CheckSettings(m.settings())); err != nil {
		return m, fmt.Errorf("ship %s: %w", name, err)
	}
	if m.Old == "" {
		others := slices.DeleteFunc(s.Running(name), func(v string) bool { return v == m.Version })
		if len(others) == 0 {
			return m, fmt.Errorf("ship %s: no process offers another version of it that could serve now; there "+
				"are %s. A service that is new needs no release: start it", name,
				listOr(s.offered(), "no services with a version"))
		}
		if len(others) > 1 {
			return m, fmt.Errorf("ship %s: which version serves now? listed are %s; say --old", name,
				listOr(others, "none with a version"))
		}
		m.Old = others[0]
	}
	if m.exclusive() && m.Check != "" {
		return m, fmt.Errorf("ship %s: there is nothing to check: %s may not run before %s has stopped (strategy %s); "+
			"leave the check out", name, m.Version, m.Old, m.Strategy)
	}
	if m.Old == m.Version {
		return m, fmt.Errorf("ship %s: %s serves already", name, m.Version)
	}
	if m.Wish == 0 {
		m.Wish, m.counted = max(1, len(s.up(name, m.Old))), true
	}
	return m, nil
}

// checkNames returns an error for names that no instance can have.
func checkNames(name string, m Module) error {
	if err := registry.CheckName("the module", name); err != nil {
		return err
	}
	var errs []error
	if m.Version != "" {
		errs = append(errs, registry.CheckName("the version", m.Version))
	}
	if m.Old != "" {
		errs = append(errs, registry.CheckName("the old version", m.Old))
	}
	return errors.Join(errs...)
}

func shipPlan(name string, m Module, r rollout.Release) []string {
	if m.exclusive() {
		return []string{fmt.Sprintf("have %s/%s ready; it may not run beside %s, so it begins after commit, when that "+
			"has stopped (strategy %s)", name, m.Version, m.Old, m.Strategy)}
	}
	plan := []string{fmt.Sprintf("wait for %s of %s/%s", number.Count(m.Wish, "instance", "s"), name, m.Version)}
	if m.Check != "" {
		plan = append(plan, fmt.Sprintf("check it by: %q", m.Check))
	}
	return append(plan, fmt.Sprintf("let verifiers (mark %s) meet %s/%s; all other requests stay with %s", r.Mark,
		name, m.Version, m.Old))
}

// instancesEvery is the time between two checks of the lists.
const instancesEvery = 500 * time.Millisecond

func listed(unwell []string) string {
	if len(unwell) == 0 {
		return ""
	}
	return "; listed, but not well: " + strings.Join(unwell, ", ")
}

// well returns the instances of a version that are up and answer. It returns the listed
// ones that do not answer separately, with the reason.
func (s Site) well(ctx context.Context, to Operations, service, version string) (up, unwell []string) {
	silent := map[string]bool{}
	for _, m := range s.Members {
		silent[m.Process] = m.Silent != ""
	}
	for _, in := range s.Instances {
		switch {
		case in.Service != service || in.Version != version:
		case !isUp(in):
			unwell = append(unwell, fmt.Sprintf("%s (%s)", in.Addr, in.State))
		case silent[in.Owner]:
			unwell = append(unwell, in.Addr+" (its process does not answer)")
		default:
			at := reach.Address(in.Addr, in.Tags, reach.OwnNetworks())
			if err := to.Connect(ctx, at); err != nil {
				unwell = append(unwell, fmt.Sprintf("%s (%v)", in.Addr, err))
				continue
			}
			up = append(up, in.Addr)
		}
	}
	return up, unwell
}

// Shipping says which modules are shipped, and how.
type Shipping struct {
	Module                     // what the command line says of one
	Manifest map[string]Module // from the operator's file; the settings of the release take precedence
	Wait     time.Duration     // limit of the wait for the wished instances

	// RunCheck runs the check of a module; nil: modules with a check are refused.
	RunCheck func(ctx context.Context, name string, m Module, r rollout.Release, addrs []string) error
}

// PlanShip plans to ship modules: those of names, or all that the release and the manifest know.
func PlanShip(ctx context.Context, to Operations, t Teller, sh Shipping, names []string) (Step, error) {
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return Step{}, err
	}
	modules, names, err := sh.modules(s, r, names)
	if err != nil {
		return Step{}, usagef("%w", err)
	}
	var plan []string
	for _, name := range names {
		if left := r.Settings[name][checkKey]; left != "" {
			t.Note("%s: the settings of the release name a command, %q. It is not run: no command is taken from "+
				"the site",
				name, left)
		}
		plan = append(plan, shipPlan(name, modules[name], r)...)
	}
	order, err := planMoves(ctx, to, "release "+r.Name+": "+r.Reason, sh.moves(names, modules)...)
	if err != nil {
		return Step{}, err
	}
	plan = append(slices.Clone(order.Will), plan...)
	return planned(s, plan, func(ctx context.Context) (Result, error) {
		r, err := sh.start(ctx, to, t, r, order, modules)
		if err != nil {
			return Result{}, notShipped(err, nil, names)
		}
		for i, name := range names {
			next, err := sh.one(ctx, to, t, r, name, modules[name])
			if err != nil {
				return Result{}, notShipped(err, names[:i], names[i:])
			}
			r = next
		}
		news := func(m rollout.Module) string { return m.New }
		if slices.ContainsFunc(r.Modules, func(m rollout.Module) bool { return m.Strategy.Exclusive() }) {
			t.Note("No preview of %s: it begins when the old version has stopped.", Versions(exclusives(r), news))
		}
		if len(concurrents(r).Modules) == 0 {
			return did(r, "Next: skerry release commit, or skerry release rollback"), nil
		}
		return did(r, "Verifiers meet "+Versions(concurrents(r), news)+" by "+HowToPreview(r)+".",
			"Next: try it, then skerry release commit, or skerry release rollback"), nil
	})
}

// moves have the new versions run beside the old ones. A version that may not is started after commit.
func (sh Shipping) moves(names []string, modules map[string]Module) (moves []Move) {
	for _, name := range names {
		if m := modules[name]; !m.exclusive() {
			moves = append(moves, startMove(name, m))
		}
	}
	return moves
}

// start has the hosts start the new versions. The release keeps their names before, so that each operator can take
// them away again.
func (sh Shipping) start(ctx context.Context, to Operations, t Teller, r rollout.Release, o Order,
	modules map[string]Module) (rollout.Release, error) {
	for _, name := range o.Services {
		version := modules[name].Version
		if r.Settings[name]["version"] == version {
			continue
		}
		next, err := to.Put(ctx, name, map[string]string{"version": version})
		if err != nil {
			return r, err
		}
		r = next
	}
	return r, o.give(ctx, t)
}

// one ships one module.
func (sh Shipping) one(ctx context.Context, to Operations, t Teller, r rollout.Release, name string,
	m Module) (rollout.Release, error) {
	if !m.exclusive() {
		addrs, err := sh.awaitInstances(ctx, to, t, name, m)
		if err != nil {
			return r, err
		}
		if m.Check != "" {
			if err := sh.RunCheck(ctx, name, m, r, addrs); err != nil {
				return r, err
			}
		}
	}
	told, err := m.shipped(name)
	if err != nil {
		return r, err
	}
	if own := m.bounds(r.Settings[name]); len(own) > 0 {
		if r, err = to.Put(ctx, name, own); err != nil {
			return r, err
		}
		t.Note("%s: bounds kept in the release: %s", name, boundsText(own))
	}
	next, err := to.Ship(ctx, told)
	if err == nil {
		t.Note("%s/%s: shipped", name, m.Version)
	}
	return next, err
}

// boundsText returns k=v,k=v in the order of the keys.
func boundsText(values map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, k+"="+values[k])
	}
	return strings.Join(parts, ",")
}

// awaitInstances returns when the wished number of instances is listed and answers.
func (sh Shipping) awaitInstances(ctx context.Context, to Operations, t Teller, name string,
	m Module) ([]string, error) {
	said := ""
	for began, end := time.Now(), time.Now().Add(sh.Wait); ; {
		s, err := to.State(ctx)
		if err != nil {
			return nil, err
		}
		up, unwell := s.well(ctx, to, name, m.Version)
		var troubles []Trouble
		if h := to.Hands(); h != nil && len(up) < m.Wish {
			troubles = h.Troubles(ctx, name, m.Version)
		}
		why, final := troubleText(troubles)
		if final != nil {
			return nil, problemf("ship %s: %s does not come up on %s: %s; it is not shipped, and no request meets it\n"+
				"Its last lines:\n%s\nNext: mend it, and ship again; or skerry release rollback, which takes it away",
				name, Title(name, m.Version), final.Host, final.Text, final.Log)
		}
		if why != "" {
			unwell = append(unwell, why)
		}
		if m.counted && len(up) < m.Wish { // a counted instance may have been dead already
			old, _ := s.well(ctx, to, name, m.Old)
			m.Wish = min(m.Wish, max(1, len(old)))
		}
		line := strings.TrimSpace(fmt.Sprintf("%s/%s: %d of %d up %s", name, m.Version, len(up), m.Wish,
			strings.Join(append(slices.Clone(up), unwell...), ", ")))
		if line != said {
			said = line
			t.Note("%s", line)
		}
		if len(up) >= m.Wish {
			return up, nil
		}
		t.Passing("%s/%s: waiting for %s, for %s; %s left", name, m.Version,
			number.Count(m.Wish-len(up), "instance", "s"), number.Age(time.Since(began)), number.Age(time.Until(end)))
		if !time.Now().Before(end) {
			return nil, problemf("ship %s: %d of %d instances of %s are up after %s%s; start them, look at "+
				"skerry ls %s, or wish for fewer",
				name, len(up), m.Wish, m.Version, number.Duration(sh.Wait), listed(unwell), name)
		}
		if err := run.Sleep(ctx, instancesEvery); err != nil {
			return nil, problemf("ship %s: interrupted while it waited for %s/%s; it is not shipped",
				name, name, m.Version)
		}
	}
}
