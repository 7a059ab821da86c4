package control

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// Description is a service as a process describes it.
type Description struct {
	Process  string
	Version  string            // that the process offers; "": it only calls the service, or there is none
	Declared string            // name of the service in its file, where that declares several; may be empty
	Main     string            // name of its file
	Files    map[string][]byte // text of that, and of those that it includes, by name
	Trouble  string            // why there are no files
}

// bounds of what is read of one process
const (
	idlFiles = 64
	idlBytes = 256 << 10
)

// Descriptions asks every other process of the site how a service is described. Those that know nothing of it are
// absent. Providers come first, then by version, the newest by name first.
func Descriptions(ctx context.Context, n *skerry.Node, service string) (list []Description, err error) {
	var mu sync.Mutex
	err = askMembers(ctx, n, func(ctx context.Context, p *membership.Peer) {
		w, err := p.Client().Idl(ctx, service)
		if err != nil {
			return // it does not answer, or is of an older release
		}
		if d, ok := descriptionOf(p.Owner.String(), w); ok {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, d)
		}
	})
	slices.SortFunc(list, func(a, b Description) int {
		return cmp.Or(cmp.Compare(len(a.Trouble), len(b.Trouble)), strings.Compare(b.Version, a.Version),
			strings.Compare(a.Process, b.Process))
	})
	return list, err
}

func descriptionOf(process string, w *wire.Idl) (d Description, ok bool) {
	d = Description{Process: process, Version: w.GetVersion(), Declared: w.GetDeclared(),
		Trouble: troubleOf(w.GetTrouble()), Files: map[string][]byte{}}
	if len(w.Files) == 0 {
		return d, d.Trouble != ""
	}
	size := 0
	for _, f := range w.Files {
		if size += len(f.Text); size > idlBytes || len(w.Files) > idlFiles {
			d.Trouble, d.Files = "it has sent more than is read", nil
			return d, true
		}
		d.Files[f.Name] = f.Text
	}
	d.Main, d.Trouble = w.Files[0].Name, ""
	return d, true
}

// idlTrouble is the longest reason for which a process tells no files, in bytes.
const idlTrouble = 1 << 10

// troubleOf is such a reason as it may be shown.
func troubleOf(told string) string {
	if len(told) > idlTrouble {
		told = strings.ToValidUTF8(told[:idlTrouble], "") + "…"
	}
	return quote.Text(told)
}

// ErrNoVersion: the rules of releases give the version to no trace.
var ErrNoVersion = errors.New("the rules of releases lead no request to this version")

// tries bounds the seeds that BeginAt tries: enough to meet a version that gets 1 % of the traces.
const tries = 4096

// BeginAt begins a trace that meets a version of a service by the rules of releases, as the request of a user or of a
// verifier does. version "" is any. Where no rule speaks of the service, calls of the trace may meet any version:
// rpc.ServiceOptions.Version chooses one. Call end when the work is over.
func BeginAt(ctx context.Context, n *skerry.Node, job, service, version string) (_ context.Context, end func(),
	err error) {
	agent := n.Membership().Agent()
	agent.Await(ctx)
	seed, mark := rand.Uint64(), ""
	if version != "" {
		if seed, mark, err = meets(agent, service, version); err != nil {
			return ctx, nil, err
		}
	}
	ctx = rpc.WithTrace(ctx, tracecontext.NextSpan(""), "")
	t := agent.Begin(job, seed, mark)
	return t.Context(ctx), t.End, nil
}

// meets finds seed and mark of a trace that meets a version.
func meets(agent *participant.Agent, service, version string) (seed uint64, mark string, err error) {
	log := agent.Log()
	rule, ruled := log.Rule(service)
	if !ruled {
		return rand.Uint64(), "", nil
	}
	for name, marked := range rule.Marks {
		if marked == version {
			return rand.Uint64(), name, nil
		}
	}
	for range tries {
		seed := rand.Uint64()
		if met, _, ok, err := log.Route(service, log.Token(seed, "")); err == nil && ok && met == version {
			return seed, "", nil
		}
	}
	return 0, "", ErrNoVersion
}
