package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

// controlName is the service of each socket that reports on the proxy's program
// and makes the proxy leave it.
const controlName = "skerry.proxy"

// Status is a proxy's report on one of its programs.
type Status struct {
	Program  string     `json:"program"`
	State    State      `json:"state"`
	Proxy    string     `json:"proxy"` // name of the proxy, as in its words
	PID      int        `json:"pid"`
	Cluster  string     `json:"cluster"`
	Owner    string     `json:"owner"`           // the program's node in the form of registries
	Running  int        `json:"running"`         // calls that the program serves now
	Calls    []string   `json:"calls,omitempty"` // services that it calls, with instances now
	Provides []Provides `json:"provides,omitempty"`
}

// Provides is a service of a program.
type Provides struct {
	Service     string `json:"service"`
	Version     string `json:"version,omitempty"`
	Addr        string `json:"addr"`             // of the program's server
	State       string `json:"state"`            // a foreign.State as text
	Connections int    `json:"connections"`      // open now
	Helper      string `json:"helper,omitempty"` // its name; "none" without a helper, "" while unknown
}

// control serves controlName.
type control struct{ g *program }

func (c *control) status() Status {
	g := c.g
	g.mu.Lock()
	state := g.state
	g.mu.Unlock()
	s := Status{Program: g.name, State: state, Proxy: g.words.id, PID: os.Getpid(), Cluster: g.base.Cluster,
		Running: g.words.running(),
		Calls:   g.reached()}
	for _, p := range g.provided {
		v := Provides{Service: p.cfg.Service, Version: p.cfg.Version, Addr: p.cfg.Addr, State: string(foreign.Waiting),
			Connections: p.calls.Standing(p.endpoint)}
		if state, ok := p.state.Load().(foreign.State); ok {
			v.State = string(state)
		}
		switch info, known := p.helper.now(); {
		case known && info.present:
			v.Helper = info.name
		case known:
			v.Helper = "none"
		}
		s.Provides = append(s.Provides, v)
	}
	return s
}

// Process implements thrift.TProcessor.
func (c *control) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	method, _, seq, err := in.ReadMessageBegin(ctx)
	if err == nil {
		err = in.Skip(ctx, thrift.STRUCT)
	}
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	var reply thrift.TStruct
	kind := thrift.REPLY
	switch method {
	case "status":
		text, err := json.Marshal(c.status())
		if err != nil {
			return false, thrift.WrapTException(err)
		}
		reply = &textResult{string(text)}
	case "yield":
		c.g.succeeded()
		reply = &textResult{}
	case "drain":
		c.g.leave()
		reply = &textResult{}
	default:
		reply = thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "no method "+method)
		kind = thrift.EXCEPTION
	}
	err = errors.Join(out.WriteMessageBegin(ctx, method, kind, seq), reply.Write(ctx, out), out.WriteMessageEnd(ctx))
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	return true, nil
}

// ProcessorMap implements thrift.TProcessor.
func (c *control) ProcessorMap() map[string]thrift.TProcessorFunction { return nil }

// AddToProcessorMap implements thrift.TProcessor.
func (c *control) AddToProcessorMap(string, thrift.TProcessorFunction) {}

// textResult is the result of a method that returns a string.
type textResult struct{ text string }

// Write implements thrift.TStruct.
func (r *textResult) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(p.WriteStructBegin(ctx, "result"), p.WriteFieldBegin(ctx, "success", thrift.STRING, 0),
		p.WriteString(ctx, r.text), p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

// Read implements thrift.TStruct.
func (r *textResult) Read(ctx context.Context, p thrift.TProtocol) error {
	return eachField(ctx, p, func(id int16, t thrift.TType) (bool, error) {
		if id != 0 || t != thrift.STRING {
			return false, nil
		}
		var err error
		r.text, err = p.ReadString(ctx)
		return true, err
	})
}

// controlTimeout limits a call to a proxy of this host.
const controlTimeout = 2 * time.Second

// Ask returns the status of a program from the proxy that serves its socket.
func Ask(ctx context.Context, cfg config.Program) (Status, error) {
	network, addr, err := cfg.ListenAddr()
	if err != nil {
		return Status{}, err
	}
	return askAt(ctx, network, addr, cfg.Token)
}

func askAt(ctx context.Context, network, addr, token string) (Status, error) {
	var s Status
	text, err := tellProxy(ctx, network, addr, token, "status")
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		return Status{}, fmt.Errorf("ask the proxy at %s: %w", addr, err)
	}
	return s, nil
}

// tellProxy calls a method of controlName.
func tellProxy(ctx context.Context, network, addr, token, method string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	calls, err := dialProxy(network, addr)
	if err != nil {
		return "", err
	}
	defer calls.Close()
	client, err := calls.Service(controlName, rpc.ServiceOptions{Timeout: controlTimeout, Wait: -1, Retries: new(int)})
	if err != nil {
		return "", err
	}
	if network == "tcp" {
		if _, err := client.Call(ctx, "skerry.login", &textArgument{token}, &rpc.Raw{}); err != nil {
			return "", err
		}
	}
	var reply textResult
	_, err = client.Call(ctx, method, &rpc.Raw{}, &reply)
	return reply.text, err
}

// textArgument holds the arguments of a method that takes a string.
type textArgument struct{ text string }

// Write implements thrift.TStruct.
func (a *textArgument) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(p.WriteStructBegin(ctx, "args"), p.WriteFieldBegin(ctx, "text", thrift.STRING, 1),
		p.WriteString(ctx, a.text), p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

// Read implements thrift.TStruct.
func (a *textArgument) Read(ctx context.Context, p thrift.TProtocol) error {
	return p.Skip(ctx, thrift.STRUCT)
}

// Drain makes the proxy at a program's socket leave it. Drain returns when the
// program is off the lists, the running calls are answered and the socket is
// given up. Then the program may be stopped.
func Drain(ctx context.Context, cfg config.Program) error {
	network, addr, err := cfg.ListenAddr()
	if err != nil {
		return err
	}
	before, err := askAt(ctx, network, addr, cfg.Token)
	if err != nil {
		return err
	}
	if _, err := tellProxy(ctx, network, addr, cfg.Token, "drain"); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	for {
		now, err := askAt(ctx, network, addr, cfg.Token)
		if err != nil && ctx.Err() == nil || err == nil && now.Proxy != before.Proxy {
			return nil
		}
		if run.Sleep(ctx, watchEvery) != nil {
			return fmt.Errorf("drain %s: it goes on: %w", cfg.Listen, context.Cause(ctx))
		}
	}
}
