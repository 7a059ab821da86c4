package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/skerry/skerry/site/spread"
)

// listing is the content of `skerry ls`, and its document with --json.
type listing struct {
	Cluster   string                   `json:"cluster"`
	Mode      string                   `json:"mode"`
	Sources   []discovery.SourceStatus `json:"sources"`
	Instances []discovery.Entry        `json:"instances"`
	Policy    *listedPolicy            `json:"policy,omitempty"`

	agents int // of hosts, when nothing else is listed
}

func (a *app) lsCommand() *cobra.Command {
	wide, streams := false, false
	c := &cobra.Command{
		Use:     "ls [SERVICE]",
		Aliases: []string{"list"},
		Short:   "List services and their instances",
		Long: `Lists what is registered: service, version, address, state, which source lists
it (database, lan, or disk: the last known list), how long it has been up, and how
long ago its last heartbeat, or its last word on the LAN, was.

Below it stands what the site's policy says about these services: access, limits,
faults, and how many routes, fallbacks, mirrors and weights there are. A weight of 0
is the state excluded. A process that is told to obey no policy is named.

On a LAN without a database the list is what answers within --timeout.
With --streams it lists the streams that are open at the running providers: by which
caller, how many, and the age of the oldest.

Exit code 1 when nothing is listed, 3 when moreover a source can't be reached.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if streams {
				return a.openStreams(cmd.Context(), first(args))
			}
			return a.ls(cmd.Context(), first(args), wide)
		},
		ValidArgsFunction: a.completeService,
	}
	c.Flags().BoolVarP(&wide, "wide", "w", false, "also show protocol, zone, weight, tags and owner")
	c.Flags().BoolVar(&streams, "streams", false, "the open streams, instead")
	c.MarkFlagsMutuallyExclusive("wide", "streams")
	return c
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (a *app) printListing(l listing, service string, wide bool) error {
	var empty error
	if len(l.Instances) == 0 {
		empty = &exitError{l.emptyCode(), nil}
	}
	if a.flags.json {
		if err := a.printJSON(l); err != nil {
			return err
		}
		return empty
	}
	if empty != nil {
		a.explainEmpty(l, service)
		return empty
	}
	a.instanceTable(l, wide, time.Now())
	a.printListedPolicy(l.Policy)
	for _, s := range l.Sources {
		if s.Lost != "" {
			a.note("The %s %s: %s. What it lists is the last known list.", s.Name, lostText(s.Lost), s.Lost)
		}
	}
	return nil
}

// emptyCode distinguishes an empty answer from a failed query.
func (l listing) emptyCode() int {
	for _, s := range l.Sources {
		if s.Lost != "" {
			return exitUnreachable
		}
	}
	return exitProblem
}

func (a *app) instanceTable(l listing, wide bool, now time.Time) {
	header := []string{"SERVICE", "VERSION", "ADDRESS", "STATE", "SOURCE", " UP", " HEARD", "WHY"}
	if wide {
		header = []string{"SERVICE", "VERSION", "ADDRESS", "STATE", "SOURCE", " UP", " HEARD", "PROTOCOL", "ZONE",
			" WEIGHT", "TAGS", "OWNER", "WHY"}
	}
	var rows [][]string
	for _, e := range l.Instances {
		row := []string{e.Service, orDash(e.Version), e.Addr, stateText(e), sourceText(e), ageOf(e.Started, now),
			ageOf(e.Heard, now)}
		if wide {
			row = append(row, protocolText(e), orDash(e.Zone), strconv.Itoa(e.Weight), orDash(tagText(e.Tags)),
				orDash(e.Owner))
		}
		what, _ := rollout.Standing(e.Standing).Explain()
		behind := ""
		if program := e.Tags[registry.TagProgram]; program != "" {
			behind = "program " + program + " behind its proxy"
		}
		why := []string{what, e.Why, behind, l.Policy.policyWhy(e)}
		why = slices.DeleteFunc(why, func(s string) bool { return s == "" })
		rows = append(rows, append(row, strings.Join(why, "; ")))
	}
	a.printTable(header, rows)
}

func ageOf(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return age(max(0, now.Sub(since)))
}

// stateText returns the state with the facts that a reader should know.
func stateText(e discovery.Entry) string {
	text := string(e.State)
	if e.Standing != "" {
		text += "," + e.Standing
	}
	if e.Protected {
		text += ",protected"
	}
	if e.Stale {
		text += ",stale"
	}
	return text
}

func sourceText(e discovery.Entry) string {
	names := make([]string, len(e.Sources))
	for i, s := range e.Sources {
		names[i] = s.Name
	}
	return orDash(strings.Join(names, ","))
}

const noneAnswered = "no process answered"

// answerText describes the answer of a source that listed nothing.
func answerText(s discovery.SourceStatus) string {
	switch {
	case s.Lost != "":
		return lostText(s.Lost) + ": " + s.Lost
	case s.Name == broadcast.Source:
		return noneAnswered
	case !s.Answered:
		return "has not answered yet"
	}
	return "reached, and lists none"
}

// lostText distinguishes an unusable source that answers from one that does not answer.
func lostText(why string) string {
	if strings.Contains(why, "lacks rights") || strings.Contains(why, postgres.ErrNoTables.Error()) {
		return "answers, and can't be used"
	}
	return "can't be reached"
}

func protocolText(e discovery.Entry) string {
	name := cmp.Or(e.Protocol, string(registry.ProtocolSkerry))
	if e.TLS {
		return name + "+tls"
	}
	return name
}

// explainEmpty prints what was asked, where, and what to try.
func (a *app) explainEmpty(l listing, service string) {
	what := "Nothing is registered"
	if service != "" {
		what = "No instance of " + service + " is registered"
	}
	a.printf("%s in cluster %q (mode %s).\nAsked:\n", what, l.Cluster, l.Mode)
	for _, s := range l.Sources {
		if text := answerText(s); l.agents == 0 || text != noneAnswered {
			a.printf("  %s: %s\n", s.Name, text)
		}
	}
	if l.agents > 0 {
		a.printf("%s of hosts answered (skerry ls %s); the programs that they run register nothing, or none runs: "+
			"skerry site status\n", number.Count(l.agents, "agent", "s"), spread.Service)
	}
	a.printf("Try:\n")
	if service != "" {
		a.printf("  skerry ls                    is it registered under another name?\n")
	}
	a.printf("  skerry ls --cluster NAME     is it another cluster?\n")
	a.printf("  skerry ls --timeout 10s      a busy LAN answers late\n")
	a.printf("  skerry doctor                do packets pass, and is the database reachable?\n")
}
