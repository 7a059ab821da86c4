package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/run"
	"github.com/spf13/cobra"
)

// lookupRequest is the command line of lookup.
type lookupRequest struct {
	service, version, format, write string
	watch                           bool
}

func (a *app) lookupCommand() *cobra.Command {
	var r lookupRequest
	c := &cobra.Command{
		Use:   "lookup SERVICE",
		Short: "Print the addresses that a service is called at",
		Long: `Prints the addresses of the instances that a consumer would call now, one a
line: those that are listed and not leaving, of the versions that get calls by the
rules of the site. With --version it is that version, whatever the rules say. Exit
code 1 when there is none.

--watch prints the list and then each change as a line, + with what has come and
- with what has gone, until ctrl-C. --write keeps a file as well, which is replaced
whole: for HAProxy, nginx and programs that read addresses.

--format is a Go template over the fields that "skerry ls --json" prints, such as
{{.Addr}}, {{.Version}}, {{.Zone}}, {{.Protocol}}, {{.Weight}}, {{index .Tags "x"}}.`,
		Example: `  skerry lookup auth
  skerry lookup auth --version v2 --json
  skerry lookup auth --watch --write /run/haproxy/auth.list --format 'server {{.Addr}} weight {{.Weight}}'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeService,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.service = args[0]
			return a.lookup(cmd.Context(), r)
		},
	}
	f := c.Flags()
	f.StringVar(&r.version, "version", "", "only instances of this `VERSION`")
	f.StringVar(&r.format, "format", "{{.Addr}}", "Go `TEMPLATE` of a line")
	f.BoolVar(&r.watch, "watch", false, "go on, and print each change")
	f.StringVar(&r.write, "write", "", "`FILE` that is kept with the list")
	c.MarkFlagFilename("write")
	return c
}

// lookup prints the addresses at which a service is called.
func (a *app) lookup(ctx context.Context, r lookupRequest) error {
	line, err := template.New("format").Option("missingkey=error").Parse(r.format)
	if err != nil {
		return usagef("--format: %w", err)
	}
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	events, stop := n.Subscribe(256)
	defer stop()
	l := a.lookWithRules(ctx, n, r.service)
	list, err := r.lines(l.Instances, line)
	if err != nil {
		return usagef("--format: %w", err)
	}
	if err := r.keep(list); err != nil {
		return problemf("%w", err)
	}
	if r.watch {
		return a.followLookup(ctx, n, r, line, events, list)
	}
	if a.flags.json {
		err = a.printJSON(r.called(l.Instances))
	} else {
		for _, text := range list {
			a.printf("%s\n", text)
		}
	}
	if err == nil && len(list) == 0 {
		a.note("no instance of %s is called now; skerry ls %s says why", r.service, r.service)
		err = &exitError{l.emptyCode(), nil}
	}
	return err
}

// called returns the instances that a consumer would call.
func (r lookupRequest) called(all []discovery.Entry) []discovery.Entry {
	list := []discovery.Entry{}
	for _, e := range all {
		switch {
		case e.Service != r.service, !callable(e):
		case r.version != "" && e.Version != r.version:
		case r.version == "" && e.Standing != "":
		default:
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b discovery.Entry) int {
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.Version, b.Version))
	})
	return list
}

// callable reports whether a consumer may call an instance now.
func callable(e discovery.Entry) bool {
	switch e.State {
	case discovery.Leaving, discovery.Gone, discovery.Excluded, discovery.Drained, discovery.Elsewhere:
		return false
	}
	return e.Weight > 0
}

// lines returns the called instances in the template's form, each once.
func (r lookupRequest) lines(all []discovery.Entry, line *template.Template) ([]string, error) {
	var list []string
	for _, e := range r.called(all) {
		var b strings.Builder
		if err := line.Execute(&b, e); err != nil {
			return nil, err
		}
		list = append(list, strings.ReplaceAll(b.String(), "\n", " "))
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

const (
	lookupSettle = 100 * time.Millisecond // changes within this time count as one
	lookupEvery  = 2 * time.Second        // between two reads when no change is reported
)

// followLookup prints changes until ctx ends.
func (a *app) followLookup(ctx context.Context, n *skerry.Node, r lookupRequest, line *template.Template,
	events <-chan discovery.Event, list []string) error {
	a.printChanges(nil, list)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			if run.Sleep(ctx, lookupSettle) != nil {
				return nil
			}
		case <-time.After(lookupEvery):
		}
		now, err := r.lines(n.Explain(r.service), line)
		if err == nil && !slices.Equal(list, now) {
			err = r.keep(now)
		}
		if err != nil {
			return problemf("%w", err)
		}
		a.printChanges(list, now)
		if err := a.out.Err(); err != nil {
			return err
		}
		list = now
	}
}

// lookupChange is a line of --watch --json.
type lookupChange struct {
	Time   time.Time `json:"time"`
	Change string    `json:"change"` // listed or dropped
	Line   string    `json:"line"`
}

func (a *app) printChanges(before, now []string) {
	say := func(sign, change, text string) {
		if a.flags.json {
			a.printLine(lookupChange{time.Now(), change, text})
			return
		}
		a.printf("%s %s\n", sign, text)
	}
	for _, text := range before {
		if _, stays := slices.BinarySearch(now, text); !stays {
			say("-", "dropped", text)
		}
	}
	for _, text := range now {
		if _, was := slices.BinarySearch(before, text); !was {
			say("+", "listed", text)
		}
	}
	a.out.Flush()
}

// keep replaces the file of --write.
func (r lookupRequest) keep(list []string) error {
	if r.write == "" {
		return nil
	}
	text := strings.Join(list, "\n")
	if text != "" {
		text += "\n"
	}
	f, err := os.CreateTemp(filepath.Dir(r.write), "."+filepath.Base(r.write)+".*")
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), r.write)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("--write: %w", err), os.Remove(f.Name()))
	}
	return nil
}
