package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/tlsfile"
	"github.com/skerry/skerry/registry"
)

func (a *app) announceCommand() *cobra.Command {
	var e foreign.Entry
	var addrs []string
	var file string
	c := &cobra.Command{
		Use:   "announce --service NAME --addr HOST:PORT",
		Short: "Keep a provider registered that is not a skerry program",
		Long: `Registers a Thrift or HTTP server of any language while it answers a check: it
is listed with the first answer, withdrawn after --failures failed checks in a
row, and listed again when it is back. It is withdrawn when announce is stopped
(SIGTERM, ctrl-C). Run it beside the provider, under the same supervisor.

Checks: tcp (a connection can be made), thrift (it answers a Thrift call, be it
with "unknown method"), thrift:METHOD (the method, called without arguments,
replies), http:/PATH (GET answers with a status below 400).

A provider whose threads are all busy answers no check: it stays listed while
the site's processes get answers from it. Tell consumers by --concurrency how
many connections it serves at a time: each of them takes at most half of them.
A provider behind a TMultiplexedProcessor is called by --prefix.

--also lists the same address under a further name, version or both: consumers
that know nothing of versions, or of the new name, keep finding it.

--file names a YAML list instead, with the keys service, version, addr, also,
protocol, check, prefix, concurrency, every, timeout, failures, weight, zone,
tags, tls. The file is read again when it changes: what is new in it is listed,
what is gone is withdrawn, and the rest is not touched. A mistake in it changes
nothing.`,
		Example: `  skerry announce --service billing --version v1 --addr 10.0.0.5:9090 --protocol framed-binary \
    --check thrift:ping
  skerry announce --service mail --addr :2525 --addr :2526
  skerry announce --service web --version v2 --addr :8080 --protocol http --check http:/healthz
  skerry announce --service auth --version v2 --addr :9091 --also auth-legacy --also /v1
  skerry announce --file providers.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("weight") && e.Weight == 0 {
				return usagef("--weight 0 is not possible; leave it out for %d, or give -1: listed, and sent no calls",
					registry.DefaultWeight)
			}
			entries, err := announced(e, addrs, file)
			if err != nil {
				return err
			}
			return a.announce(cmd.Context(), entries, file)
		},
	}
	f := c.Flags()
	f.StringVar(&e.Service, "service", "", "`NAME` that consumers call by")
	f.StringVar(&e.Version, "version", "", "`VERSION` of the service")
	f.StringArrayVar(&addrs, "addr", nil,
		"`HOST:PORT` of the provider; without a host this host's address; may be repeated")
	f.StringArrayVar(&e.Also, "also", nil,
		"further registration of the same address: `NAME`, NAME/VERSION or /VERSION; may be repeated")
	f.StringVar(&e.Protocol, "protocol", string(registry.ProtocolFramedBinary),
		"how the provider speaks: a Thrift protocol, or http")
	f.StringVar(&e.Check, "check", "tcp", "tcp, thrift, thrift:METHOD or http:/PATH")
	f.StringVar(&e.Prefix, "prefix", "",
		"`NAME` of the service in the provider's TMultiplexedProcessor; methods are called NAME:method")
	f.IntVar(&e.Concurrency, "concurrency", 0,
		"`N` connections that the provider serves at a time, such as its threads; 0 = not known")
	f.DurationVar(&e.Every, "every", foreign.DefaultEvery, "time between two checks")
	f.IntVar(&e.Failures, "failures", foreign.DefaultFailures, "failed checks in a row until it is withdrawn")
	f.IntVar(&e.Weight, "weight", registry.DefaultWeight, "share of the calls against its peers")
	f.StringVar(&e.Zone, "zone", "", "where it runs")
	f.StringToStringVar(&e.Tags, "tag", nil, "free label `KEY=VALUE`; may be repeated")
	f.BoolVar(&e.TLS, "tls", false, "the provider's port speaks TLS")
	f.StringVar(&file, "file", "", "YAML `FILE` that lists providers")
	c.MarkFlagFilename("file", "yaml", "yml")
	c.RegisterFlagCompletionFunc("protocol", completeProtocol)
	c.RegisterFlagCompletionFunc("check",
		cobra.FixedCompletions([]string{"tcp", "thrift", "thrift:", "http:/"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// announced returns the entries that the command line or the file names.
func announced(e foreign.Entry, addrs []string, file string) ([]foreign.Entry, error) {
	switch {
	case file != "" && (e.Service != "" || len(addrs) > 0):
		return nil, usagef("--file names all providers; leave out --service and --addr")
	case file != "":
		entries, err := foreign.ReadFile(file)
		if err != nil {
			return nil, usagef("%w", err)
		}
		return entries, nil
	case e.Service == "" || len(addrs) == 0:
		return nil, usagef("name what to announce: --service and --addr, or --file")
	}
	var entries []foreign.Entry
	for _, addr := range addrs {
		e.Addr = addr
		entries = append(entries, e)
	}
	return entries, nil
}

// announce opens a node that lists the providers that answer, until ctx ends.
func (a *app) announce(ctx context.Context, entries []foreign.Entry, file string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	files, err := tlsfile.New(tlsfile.Files{Cert: c.TLS.Cert, Key: c.TLS.Key, CA: c.TLS.CA}, c.TLS.ServerName, false)
	if err != nil {
		return usagef("%w", err)
	}
	providers, err := a.providers(c, files, entries)
	if err != nil {
		return usagef("%w", err)
	}
	n, err := skerry.Open(ctx, consumer(c)) // a member of the site, which releases ask
	if err != nil {
		return problemf("%w", err)
	}
	defer n.Close()
	var mu sync.Mutex // guards the output: one line at a time
	crew := foreign.NewCrew(ctx, announcing{n}, func(e foreign.Event) {
		mu.Lock()
		defer mu.Unlock()
		a.printAnnounceEvent(e)
	})
	crew.Set(providers)
	beside := run.NewGroup(ctx)
	beside.Go(func(ctx context.Context) error { return files.Run(ctx, c.Log.Logger()) })
	defer beside.Stop()
	a.follow(crew, c, files, file)
	return crew.Wait()
}

// announcing implements foreign.Site by the command's node.
type announcing struct{ *skerry.Node }

// Keeps implements foreign.Site.
func (l announcing) Keeps(in registry.Instance) bool { return l.Registered(in.ID()) }

// Answered implements foreign.Site.
func (l announcing) Answered(ctx context.Context, in registry.Instance) map[string]int64 {
	return control.Answered(ctx, l.Node, in.Service, in.Addr())
}

// providers returns the providers of the entries, each under a key that differs
// from the others.
func (a *app) providers(c skerry.Config, files *tlsfile.Reader,
	entries []foreign.Entry) (map[string]foreign.Provider, error) {
	entries, err := foreign.Entries(entries)
	if err != nil {
		return nil, err
	}
	providers := map[string]foreign.Provider{}
	for _, e := range entries {
		p, err := e.Provider(func() (string, error) { return advertised(c, e.Service) }, files.Client)
		if err != nil {
			return nil, err
		}
		if ownHostOnly(p.Instance.Host) {
			advice := "leave the host out to announce this host's address"
			if host, _, _ := net.SplitHostPort(e.Addr); host == "" {
				advice = "this host's address is chosen by service.advertise and lan.interfaces: skerry doctor says why"
			}
			a.note("%s: other hosts can't connect to %s; %s", e.Service, p.Instance.Addr(), advice)
		}
		providers[fmt.Sprintf("%+v", e)] = p
	}
	return providers, nil
}

// follow reads the file again whenever it changes, until the crew ends.
func (a *app) follow(crew *foreign.Crew, c skerry.Config, files *tlsfile.Reader, file string) {
	var look <-chan time.Time
	if file != "" {
		ticker := time.NewTicker(fileEvery)
		defer ticker.Stop()
		look = ticker.C
	}
	last := stamp(file)
	for {
		select {
		case <-crew.Done():
			return
		case <-look:
		}
		now := stamp(file)
		if now == last {
			continue
		}
		last = now
		entries, err := foreign.ReadFile(file)
		if err == nil {
			var providers map[string]foreign.Provider
			if providers, err = a.providers(c, files, entries); err == nil {
				crew.Set(providers)
			}
		}
		if err != nil {
			a.note("%v; nothing is changed", err)
		}
	}
}

// fileEvery is the time between two checks of the providers' file.
const fileEvery = time.Second

// stamp returns a text that changes when the file changes.
func stamp(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// ownHostOnly reports whether every host reaches itself by this address: it is a
// loopback address, or a name of one.
func ownHostOnly(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name == "localhost" || name == "ip6-localhost" || strings.HasPrefix(name, "localhost.") ||
		strings.HasSuffix(name, ".localhost")
}

// advertised returns the address of this host that is advertised for a service. It
// takes the configured address of the service, else of another service of the
// process, else the address that lan.interfaces selects.
func advertised(c skerry.Config, service string) (string, error) {
	interfaces, given := c.LAN.Interfaces, ""
	for _, s := range c.WithDefaults().Services {
		if s.Advertise != "" && (given == "" || s.Name == service) {
			given = s.Advertise
		}
	}
	switch host, _, err := net.SplitHostPort(given); {
	case given == "":
	case strings.Contains(given, "/"):
		interfaces = []string{given}
	case err == nil: // the port is the provider's own
		return host, nil
	default:
		return given, nil
	}
	choice, _, err := broadcast.Advertise(interfaces)
	if err != nil {
		return "", err
	}
	return choice.Addr.String(), nil
}

// announceEvent is a line of announce --json.
type announceEvent struct {
	Time     time.Time `json:"time"`
	Service  string    `json:"service"`
	Version  string    `json:"version,omitempty"`
	Addr     string    `json:"addr"`
	State    string    `json:"state"`
	Failures int       `json:"failures,omitempty"` // failed checks in a row
	Why      string    `json:"why,omitempty"`
}

func (a *app) printAnnounceEvent(e foreign.Event) {
	in := e.Instance
	line := announceEvent{Time: e.Time, Service: in.Service, Version: in.Version, Addr: in.Addr(),
		State: string(e.State), Failures: e.Failures}
	if e.Err != nil {
		line.Why = e.Err.Error()
	}
	if a.flags.json {
		a.printLine(line)
		return
	}
	text := fmt.Sprintf("%s  %s %s: %s", e.Time.Format(time.TimeOnly), title(in.Service, in.Version), in.Addr(),
		announceText[e.State])
	if line.Why != "" {
		text += ": " + line.Why
	}
	a.printf("%s\n", text)
}

var announceText = map[foreign.State]string{
	foreign.Waiting:   "does not answer, and is not listed",
	foreign.Listed:    "answers, and is listed",
	foreign.Pending:   "answers; the registry is not reached yet, trying on",
	foreign.Busy:      "answers calls, not the check, and is still listed",
	foreign.Retired:   "withdrawn by a release that retired its version, or by skerry deregister; end it",
	foreign.Failing:   "failed a check, and is still listed",
	foreign.Withdrawn: "withdrawn, as it does not answer",
	foreign.Stopped:   "withdrawn, as announcing ends",
}

// title returns a service with its version.
func title(service, version string) string { return releases.Title(service, version) }
