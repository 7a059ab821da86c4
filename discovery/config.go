package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Balancer names the way of choosing between several members that are well. It is also the spelling
// in configuration files.
type Balancer string

// The balancers. The empty Balancer means p2c.
const (
	balanceTwoChoices Balancer = "p2c"         // two by weight, the less busy one
	balanceRoundRobin Balancer = "round-robin" // in turn, as often as the weight says
	balanceHash       Balancer = "hash"        // by the call's hash key
)

// balancers lists every balancer in the order of the constants.
func balancers() []Balancer { return []Balancer{balanceTwoChoices, balanceRoundRobin, balanceHash} }

// Options are a consumer's rules for one service. The zero value accepts every instance and
// balances by p2c.
type Options struct {
	Version   string            // only this version; "" = any
	Zone      string            // only this zone; "" = any
	Tags      map[string]string // only instances with all of these tags
	Balancer  Balancer          // "" = p2c
	ZoneFirst bool              // members of Config.Zone first, the others while none of these is well

	// Failures is how many failed dials in a row eject a member, and how many time-outs in a row make
	// it suspect; 0 means 3.
	Failures   int
	Eject      time.Duration // how long a member is ejected; 0 means Config.Eject
	MaxEjected int           // percent of the members that may be ejected at a time; 0 means all

	// Policy is what the site's policy says about the service: the weights of its instances. nil: nothing.
	Policy *policy.Rules
}

// Source is a registry and its name in Explain and in logs.
type Source struct {
	Name     string
	Registry registry.Registry
}

// Disk is the name of the source that holds the last known list.
const Disk = "disk"

// Config sets up a Discovery.
type Config struct {
	Cluster string   // written to the state file; a file of another cluster is not used
	Sources []Source // in order of trust: the first source that lists an instance describes it
	Zone    string   // where this process runs, for ZoneFirst

	// Options returns the rules for a service, and is called when the service is first resolved or
	// shown, and by Reload. It may be called from any goroutine, and must not use the Discovery. An
	// unknown Balancer is logged, and p2c is used. nil: no service has rules.
	Options func(service string) Options

	// Probe asks an instance whether it is alive: rpc's Client.Check. Without Probe, members in
	// doubt are trusted for a while: suspects for 2 s, protected ones for a minute.
	Probe func(ctx context.Context, e *rpc.Endpoint) error

	StateFile string                    // last known list, owned by this process; "" = not kept
	WatchAll  bool                      // show every service of the site, not only the services that were resolved
	Sealed    bool                      // calls to skerry processes go over site connections
	Hidden    func(service string) bool // not counted among the services of the site; nil: no service is hidden

	// Elsewhere returns the reason when an instance's address is valid on another host only, else
	// "". Such an instance is shown and never called. nil: there is none.
	Elsewhere func(registry.Instance) string

	WarmUp  time.Duration // from a provider's start to its full weight; 0 means 10 s, negative none
	Settle  time.Duration // how long the first list of a LAN may grow before it counts; 0 means 3 s
	Eject   time.Duration // how long a member is ejected after 3 failed dials in a row; 0 means 10 s
	Protect time.Duration // longest protection against a source that can vouch; 0 means 15 min

	Logger *slog.Logger // nil means slog.Default()
}

// Fixed times. They follow from the bounds in docs/guarantees.md.
const (
	probeTimeout   = time.Second            // of one probe
	maxProbes      = 32                     // concurrent probes
	maxWaiting     = 1000                   // concurrent calls that wait for the next instance of a service
	askTries       = 3                      // unanswered probes until a vanished member is dropped
	reaskPeriod    = 30 * time.Second       // between probes of a protected member
	unaskedSuspect = 2 * time.Second        // suspicion without Probe
	unaskedProtect = time.Minute            // protection without Probe
	leavingLimit   = time.Minute            // after which a leaving member that is still listed is probed
	vanishWindow   = time.Minute            // within which vanished members count together
	tombstoneLife  = 10 * time.Minute       // of a departure that no source contradicts
	answerLimit    = 5 * time.Second        // for the first answer of a source
	saveEvery      = 10 * time.Second       // state file, at most
	warmSteps      = 10                     // of the rise from warmFloor to the full weight
	warmFloor      = 0.2                    // share of the weight at the very start
	dialLimit      = 3                      // failed dials in a row that eject, unless Options.Failures says else
	timeoutLimit   = 3                      // time-outs in a row that make a member suspect without a probe, likewise
	askFirst       = 200 * time.Millisecond // first pause between probes of a suspect
	askLast        = 5 * time.Second        // longest pause
)

func (c *Config) setDefaults() {
	c.WarmUp = cmp.Or(c.WarmUp, 10*time.Second)
	c.Settle = cmp.Or(c.Settle, 3*time.Second)
	c.Eject = cmp.Or(c.Eject, 10*time.Second)
	if c.Elsewhere == nil {
		c.Elsewhere = func(registry.Instance) string { return "" }
	}
	if c.Hidden == nil {
		c.Hidden = func(string) bool { return false }
	}
	c.Protect = cmp.Or(c.Protect, 15*time.Minute)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func (c *Config) validate() error {
	seen := map[string]bool{Disk: true}
	for i, s := range c.Sources {
		switch {
		case s.Registry == nil:
			return fmt.Errorf("discovery: Sources[%d] %q has no Registry", i, s.Name)
		case s.Name == "" || seen[s.Name]:
			return fmt.Errorf("discovery: Sources[%d] needs a name of its own, not %q", i, s.Name)
		}
		seen[s.Name] = true
	}
	if c.Settle < 0 || c.Eject < 0 || c.Protect < 0 {
		return errors.New("discovery: Settle, Eject and Protect can't be negative")
	}
	return nil
}

// optionsOf are the rules for a service.
func (c *Config) optionsOf(service string) Options {
	if c.Options == nil {
		return Options{}
	}
	o := c.Options(service)
	if o.Balancer != "" && !slices.Contains(balancers(), o.Balancer) {
		c.Logger.Error("a balancer is unknown; p2c is used in its place", "service", service, "balancer", o.Balancer,
			"known", balancers())
		o.Balancer = ""
	}
	return o
}

// ejects returns how many failed dials in a row eject a member, and for how long.
func (o *Options) ejects(c *Config) (after int, lasts time.Duration) {
	return cmp.Or(o.Failures, dialLimit), cmp.Or(o.Eject, c.Eject)
}

// admits reports whether the rules let an instance be called.
func (o Options) admits(in registry.Instance) bool {
	if o.Version != "" && in.Version != o.Version || o.Zone != "" && in.Zone != o.Zone {
		return false
	}
	for k, v := range o.Tags {
		if got, ok := in.Tags[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// String returns the rules as text: version v2, zone east, tag tier=gold.
func (o Options) String() string {
	var parts []string
	if o.Version != "" {
		parts = append(parts, "version "+o.Version)
	}
	if o.Zone != "" {
		parts = append(parts, "zone "+o.Zone)
	}
	for _, k := range slices.Sorted(maps.Keys(o.Tags)) {
		parts = append(parts, "tag "+k+"="+o.Tags[k])
	}
	return strings.Join(parts, ", ")
}
