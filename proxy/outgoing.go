package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// maxCallees bounds the services that one program calls, because each one stays
// watched after its first call.
const maxCallees = 256

// outgoing returns the handler of the program's own calls. service is the callee of
// calls that name none; "" = calls must name one.
func (g *program) outgoing(service string) rpc.RawHandler {
	return func(ctx context.Context, info *rpc.CallInfo, args *rpc.Raw) (*rpc.Raw, error) {
		to := info.Service
		if to == "" {
			to = service
		}
		return g.pass(ctx, to, info, args)
	}
}

// pass forwards a call of the program.
func (g *program) pass(ctx context.Context, service string, info *rpc.CallInfo, args *rpc.Raw) (*rpc.Raw, error) {
	text := args.Context
	args.Context = ""
	word, id, ok := parseWord(text)
	if ok && id != g.words.id {
		if other := g.others.find(id); other != nil {
			args.Context = word
			client, err := other.client(service)
			if err != nil {
				return nil, err
			}
			return send(ctx, client, info, args)
		}
	}
	client, err := g.callee(service)
	if err != nil {
		return nil, err
	}
	if ok {
		if call, release := g.words.find(word, info.OneWay); call != nil {
			defer release()
			within, cancel := withinCall(ctx, call)
			defer cancel()
			return send(within, client, info, args)
		}
	}
	return send(ctx, client, info, args) // the call begins a trace of its own
}

// send makes the call and returns an explained error.
func send(ctx context.Context, client thrift.TClient, info *rpc.CallInfo, args *rpc.Raw) (*rpc.Raw, error) {
	if info.OneWay {
		_, err := client.Call(ctx, info.Method, args, nil)
		return nil, explain(err)
	}
	result := &rpc.Raw{}
	_, err := client.Call(ctx, info.Method, args, result)
	return result, explain(err)
}

// explain puts all facts of an error into its text, because a client of another
// language gets only the text.
func explain(err error) error {
	var e *rpc.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	said := *e
	said.Err = errors.New(strings.Replace(e.Error(), ": "+e.Code.String()+" (", " (", 1)) // the code comes in front
	return &said
}

// callee returns the client of a service.
func (g *program) callee(service string) (thrift.TClient, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.callees[service]; c != nil {
		return c, nil
	}
	if err := nameError(service); err != nil {
		return nil, err
	}
	if len(g.callees) >= maxCallees {
		return nil, noService(
			fmt.Errorf("%s has called %d services, the limit; start the proxy again if some were misspelt",
				g.name, maxCallees))
	}
	c := g.node.Client(service)
	g.callees[service] = c
	return c, nil
}

// reached returns the services that the program calls, as far as they have instances now.
func (g *program) reached() []string {
	g.mu.Lock()
	list := slices.Sorted(maps.Keys(g.callees))
	g.mu.Unlock()
	return slices.DeleteFunc(list, func(service string) bool { return len(g.node.Explain(service)) == 0 })
}

// nameError returns an *rpc.Error for a service that can't be called, else nil.
func nameError(service string) error {
	if service == "" {
		return noService(errors.New("the call names no service: call SERVICE:METHOD (TMultiplexedProtocol)"))
	}
	if err := registry.CheckName("the service", service); err != nil {
		return noService(err)
	}
	return nil
}

func noService(why error) error {
	return &rpc.Error{Code: rpc.UnknownService, Executed: rpc.NotExecuted, Err: why}
}

// withinCall returns the context of a call that a program makes while it serves
// another call. It has the deadline of the served call and its values, with trace
// and metadata. It ends with either call.
func withinCall(ctx, served context.Context) (context.Context, context.CancelFunc) {
	values := context.WithoutCancel(served)
	var joined context.Context
	var cancel context.CancelFunc
	if deadline, ok := served.Deadline(); ok {
		joined, cancel = context.WithDeadline(values, deadline)
	} else {
		joined, cancel = context.WithCancel(values)
	}
	stopServed, stopCall := context.AfterFunc(served, cancel), context.AfterFunc(ctx, cancel)
	return joined, func() {
		stopServed()
		stopCall()
		cancel()
	}
}
