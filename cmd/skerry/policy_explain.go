package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
)

// policyCall is the call that explain is asked for.
type policyCall struct {
	service string
	policy.Request
	tenant, trace, code      string
	baggage, headers, cookie map[string]string
}

// policyExplained is what the policy means for one call, in the output of explain.
type policyExplained struct {
	Service string           `json:"service"`
	Method  string           `json:"method"`
	Policy  uint64           `json:"policy"` // number; 0: none
	Access  policyAccess     `json:"access"`
	Route   *policyRouted    `json:"route,omitempty"` // absent: no route applies
	Items   []policy.Verdict `json:"items"`

	Settings []policy.Setting `json:"settings"`
}

// policyAccess is whether the callee executes a call.
type policyAccess struct {
	Allowed  bool   `json:"allowed"`
	Enforced bool   `json:"enforced"`     // false: a refusal is only counted
	By       string `json:"by,omitempty"` // key of the item that decides; "" for the default
}

// policyRouted is where a route sends a call.
type policyRouted struct {
	By        string `json:"by"`              // key of the item
	Else      string `json:"else"`            // what a call gets when no instance is there: all, or none
	Instances int    `json:"instances"`       // that get calls, at the target, of the call's version
	Listed    int    `json:"listed"`          // of the service, wherever they are
	Reply     string `json:"reply,omitempty"` // key of the fallback that answers when no instance is there
}

func (a *app) policyExplainCommand(f *policyFlags) *cobra.Command {
	var q policyCall
	c := &cobra.Command{
		Use:   "explain SERVICE METHOD",
		Short: "Say what the policy means for one call, and why",
		Long: `Prints each setting of the call with its source: the line of the policy, the file, or
the default. Then each item that may concern it, whether it applies, and why not.
What the options do not say the call does not have. The last line says what becomes of
the call: a route with else: none refuses it where no instance is at its target now.

The file is the one of this command: give the caller's by --config. --trace is the
trace that a percent is drawn by; without it no item with a percent applies. Without
--mark the lanes are listed, too: which of them a user's request is in that begins
with this call. --header, --cookie, --path and --ip are of that request.`,
		Example: "  skerry policy explain auth verify --from report --tenant t7\n" +
			"  skerry policy explain portal handle --header X-Drill=1",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.service, q.Method = args[0], args[1]
			return a.explainPolicy(cmd.Context(), q, f)
		},
		ValidArgsFunction: a.completeService,
	}
	set := c.Flags()
	set.StringVar(&q.Caller, "from", "", "`SERVICE` of the caller, or ip:ADDRESS")
	set.StringVar(&q.CallerVersion, "from-version", "", "`VERSION` of the caller")
	set.StringVar(&q.Zone, "zone", "", "`ZONE` of the caller")
	set.StringToStringVar(&q.Tags, "tag", nil, "a tag of the caller's instance, as `KEY=VALUE`; may be repeated")
	set.StringVar(&q.Host, "host", "", "`HOST` of the callee")
	set.StringVar(&q.Version, "version", "", "`VERSION` of the callee")
	set.StringVar(&q.Mark, "mark", "", "`MARK` of the trace")
	set.StringVar(&q.tenant, "tenant", "", "`TENANT` in the baggage")
	set.StringToStringVar(&q.baggage, "baggage", nil, "baggage, as `KEY=VALUE`; may be repeated")
	set.StringToStringVar(&q.headers, "header", nil, "a header of the user's request, as `NAME=VALUE`; may be repeated")
	set.StringToStringVar(&q.cookie, "cookie", nil, "a cookie of the user's request, as `NAME=VALUE`; may be repeated")
	set.StringVar(&q.Path, "path", "", "`PATH` of the user's request")
	set.StringVar(&q.IP, "ip", "", "`ADDRESS` of the user")
	set.StringVar(&q.trace, "trace", "", "`ID` of the trace")
	set.StringVar(&q.code, "code", "", "`CODE` with which the call has failed, for fallback")
	return c
}

// request returns the facts of the call.
func (q policyCall) request() *policy.Request {
	r := q.Request
	if q.trace != "" {
		r.Seed, r.Seeded = rollout.SeedOf(q.trace), true
	}
	baggage := maps.Clone(q.baggage)
	if q.tenant != "" {
		if baggage == nil {
			baggage = map[string]string{}
		}
		baggage["tenant"] = q.tenant
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(baggage)) {
		parts = append(parts, key+"="+url.PathEscape(baggage[key]))
	}
	r.Baggage = strings.Join(parts, ",")
	r.Cookie = func(name string) string { return q.cookie[name] }
	r.Header = func(name string) string {
		for key, value := range q.headers {
			if strings.EqualFold(key, name) {
				return value
			}
		}
		return ""
	}
	return &r
}

func (a *app) explainPolicy(ctx context.Context, q policyCall, f *policyFlags) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	s, leave, err := a.openPolicy(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	table, err := s.Table()
	if err != nil {
		return err
	}
	r := q.request()
	e := table.Explain(q.service, r, q.code, settingsOfFile(c, q.service),
		settingsOf(config.Config{}.ConsumerOf(q.service)))
	x := policyExplained{Service: q.service, Method: q.Method, Policy: s.Now.Number, Settings: e.Settings,
		Items: e.Items}
	rules := table.Rules(q.service, q.Method)
	var by *policy.Item
	if x.Access.Allowed, x.Access.Enforced, by = rules.Access(r); by != nil {
		x.Access.By = by.Key
	}
	if rules.Route(r) != nil && rules.Fallback(r, "always") == nil { // which answers before an instance is chosen
		x.Route = routed(rules, r, a.look(ctx, s.Node, q.service).Instances)
	}
	return a.printPolicyExplained(x, policychange.Title(s.Now))
}

// routed says how many of the listed instances of a service a call may get by its route.
func routed(rules *policy.Rules, r *policy.Request, listed []discovery.Entry) *policyRouted {
	route := rules.Route(r)
	x := &policyRouted{By: route.Key, Else: route.Else}
	for _, e := range listed {
		owner, err := registry.ParseOwner(e.Owner)
		if err != nil || !e.State.Here() {
			continue
		}
		x.Listed++
		weight := e.Own
		if given, ruled := rules.Weight(e.Zone, owner.Host, e.Tags); ruled {
			weight = given
		}
		excluded := e.State == discovery.Excluded && e.Weight > 0 // by the caller's file
		callable := weight > 0 && !excluded && e.State != discovery.Drained
		if callable && (r.Version == "" || r.Version == e.Version) && route.Picks(e.Zone, owner.Host, e.Tags) {
			x.Instances++
		}
	}
	if f := rules.Fallback(r, "no_instance"); f != nil {
		x.Reply = f.Key
	}
	return x
}

// settingsOfFile are the settings that a configuration has for the calls of a service.
func settingsOfFile(c skerry.Config, service string) policy.Settings {
	own, every := settingsOf(c.Consumers[service]), settingsOf(c.Consumers[policy.Every])
	into, from := reflect.ValueOf(&own).Elem(), reflect.ValueOf(every)
	for i := range into.NumField() {
		if into.Field(i).IsZero() {
			into.Field(i).Set(from.Field(i))
		}
	}
	return own
}

// settingsOf are the settings that rules for the calls of a service have: those that are not zero.
func settingsOf(c config.Consumer) policy.Settings {
	return policy.Settings{
		Timeout: unlessZero(c.Timeout), Wait: unlessZero(c.Wait), AttemptTimeout: unlessZero(c.AttemptTimeout),
		Retries: c.Retries, Idempotent: c.Idempotent, Balancer: unlessZero(c.Balancer),
		ZoneFirst: unlessZero(c.ZoneFirst), MaxPending: unlessZero(c.MaxPending), MaxRate: unlessZero(c.MaxRate),
		BreakerOff: unlessZero(c.Breaker.Off), BreakerRatio: unlessZero(c.Breaker.Ratio),
		BreakerCalls: unlessZero(c.Breaker.Calls), BreakerWindow: unlessZero(c.Breaker.Window),
	}
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (a *app) printPolicyExplained(x policyExplained, title string) error {
	if a.flags.json {
		return a.printJSON(x)
	}
	if x.Policy == 0 {
		a.note("the site has no policy; these are the settings of the file, and the defaults")
	} else {
		a.note("by policy %s", title)
	}
	var rows [][]string
	for _, s := range x.Settings {
		rows = append(rows, []string{s.Key, s.Value, a.lang.Format(s.From) + atLine(s.Line)})
	}
	a.printTable([]string{"SETTING", "VALUE", "FROM"}, rows)
	if len(x.Items) > 0 {
		a.printf("\n")
		rows = nil
		for _, i := range x.Items {
			applies := "no"
			if i.Applies {
				applies = "yes"
			}
			name := i.Key + atLine(i.Line)
			if i.Name != "" {
				name += " " + strconv.Quote(i.Name)
			}
			rows = append(rows, []string{name, a.lang.Format(applies), a.lang.Sentence(i.Because)})
		}
		a.printTable([]string{"ITEM", "APPLIES", "BECAUSE"}, rows)
	}
	a.printf("\n")
	a.item("", "%s", x.text())
	return nil
}

// atLine is a line number behind a place in a text.
func atLine(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(":%d", line)
}

// text says what becomes of the call.
func (x policyExplained) text() string {
	r := x.Route
	if r == nil || r.Else == "all" || r.Instances > 0 || x.Access.Enforced && !x.Access.Allowed {
		return x.Access.text(x.Service, x.Method)
	}
	name := x.Service + "." + x.Method
	if r.Reply != "" {
		return fmt.Sprintf("%s gets the reply of %s: %s sends it to a place where none of the %d instances of %s "+
			"gets calls.", name, r.Reply, r.By, r.Listed, x.Service)
	}
	return fmt.Sprintf("%s is refused with no_instance: %s sends it to a place where none of the %d instances of %s "+
		"gets calls, and says else: none.", name, r.By, r.Listed, x.Service)
}

// text says whether the callee executes the call.
func (x policyAccess) text(service, method string) string {
	by := "by the default"
	if x.By != "" {
		by = "by " + x.By
	}
	switch name := service + "." + method; {
	case x.Allowed && x.By == "" && !x.Enforced:
		return name + " may be called."
	case x.Allowed:
		return name + " may be called, " + by + "."
	case x.Enforced:
		return name + " is refused, " + by + "."
	default:
		return name + " would be refused, " + by + "; access is in the mode audit, which counts it."
	}
}
