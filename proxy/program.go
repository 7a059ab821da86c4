package proxy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// program is one program of another language with its node, sockets and services.
type program struct {
	name  string
	cfg   config.Program
	base  config.Config // of the program's node
	log   *slog.Logger
	words *words

	// Fields set by open.
	node     *skerry.Node
	sockets  []*socket
	others   *others
	provided []*provided
	serving  *run.Group // of the server

	before  Status        // of the replaced proxy; its zero value = none
	drained chan struct{} // closed when the proxy must leave the program
	drain   sync.Once
	yielded chan struct{} // closed when another proxy is listed in place of this one
	yield   sync.Once

	mu      sync.Mutex
	callees map[string]thrift.TClient
	state   State
}

// handoverLimit bounds the calls made by the program that still run when the proxy leaves it.
const handoverLimit = 10 * time.Second

func newProgram(name, id string, cfg config.Config, log *slog.Logger) *program {
	g := &program{name: name, cfg: cfg.Proxy.Programs[name], log: log.With("program", name), words: newWords(id),
		callees: map[string]thrift.TClient{}, drained: make(chan struct{}), yielded: make(chan struct{}),
		state: starting}
	g.base = nodeConfig(name, cfg, g.cfg)
	return g
}

// nodeConfig returns the configuration of a program's node.
func nodeConfig(name string, cfg config.Config, g config.Program) config.Config {
	cfg.Service, cfg.Services, cfg.Proxy, cfg.Gateway = config.Service{}, nil, config.Proxy{}, config.Gateway{}
	if cfg.Stats.File != "" {
		cfg.Stats.File += "." + name // each program's node writes a file of its own
	}
	for _, v := range g.Provides {
		cfg.Services = append(cfg.Services, config.Service{
			Name: v.Service, Version: v.Version, Listen: v.Listen, Advertise: v.Advertise,
			Weight: v.Weight, Zone: v.Zone, Tags: tagged(v.Tags, name), Entry: v.Entry,
			Thrift: v.Thrift,
		})
	}
	return cfg
}

// tagged returns the tags of a service, with the program's name where the limits of tags allow it.
func tagged(tags map[string]string, name string) map[string]string {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	all[registry.TagProgram] = name
	if registry.CheckTags("the tags", all) != nil {
		return tags
	}
	return all
}

// open starts the program's node and its sockets.
func (g *program) open(ctx context.Context, held inherited) (err error) {
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if !held.has(g.cfg.Listen) { // no proxy but this one accepts from what a service manager holds
		if g.before, err = g.predecessor(ctx); err != nil {
			return err
		}
	}
	if g.sockets, err = g.bind(ctx, held); err != nil {
		return err
	}
	g.node, err = skerry.Open(ctx, g.base, skerry.WithLogger(g.log), skerry.WithCaller(g.name))
	if err != nil {
		return err
	}
	g.others = newOthers(g.sockets[0])
	for _, service := range append(g.mayCall(), g.before.Calls...) {
		if _, err := g.callee(service); err != nil {
			return err
		}
	}
	for _, v := range g.cfg.Provides {
		p, err := newProvided(g, v)
		if err != nil {
			return err
		}
		g.provided = append(g.provided, p)
	}
	return g.listen(ctx)
}

// mayCall returns the services that the program calls by its configuration.
func (g *program) mayCall() []string {
	list := append([]string(nil), g.cfg.Calls...)
	for _, v := range g.cfg.Provides {
		list = append(list, v.Calls...)
	}
	for service := range g.cfg.Ports {
		list = append(list, service)
	}
	return list
}

// listen serves the sockets. The first socket is for all services.
func (g *program) listen(ctx context.Context) error {
	g.serving = run.NewGroup(context.WithoutCancel(ctx))
	for _, s := range g.sockets {
		server, err := rpc.NewServer(rpc.ServerConfig{
			Login: g.login(s), Unordered: g.cfg.Unordered, Logger: g.log.With("socket", s.String()),
			MaxConns: g.base.Limits.Conns, MaxCalls: g.base.Limits.Calls, MaxConnCalls: g.base.Limits.ConnCalls,
			Sizes: rpc.Sizes{Frame: g.base.Limits.Frame},
		})
		if err != nil {
			return err
		}
		server.HandleUnknown(g.outgoing(s.service))
		if _, err := server.Handle(controlName, "", &control{g}); err != nil {
			return err
		}
		s.server = server
		g.serving.Go(func(ctx context.Context) error { return server.Serve(ctx, s.listener) })
	}
	return nil
}

// publish directs the program's new connections to these sockets, in place of an earlier proxy's.
func (g *program) publish() error {
	for _, s := range g.sockets {
		if err := s.publish(); err != nil {
			return err
		}
	}
	return nil
}

var errToken = errors.New("the token is not the one of this program")

// login returns the check of a TCP connection's token; nil on a Unix socket.
func (g *program) login(s *socket) func(string) error {
	if s.network != "tcp" {
		return nil
	}
	return func(token string) error {
		if !sameText(token, g.cfg.Token) {
			return errToken
		}
		return nil
	}
}

// run keeps the provided services listed until ctx ends, the program is drained or another proxy replaces this one.
func (g *program) run(ctx context.Context) error {
	defer g.close()
	keeping := run.NewGroup(context.WithoutCancel(ctx))
	for _, p := range g.provided {
		keeping.Go(p.keep)
	}
	replaced := make(chan struct{})
	keeping.Go(func(ctx context.Context) error { return g.watchSockets(ctx, replaced) })
	keeping.Go(g.succeed)
	g.become(serving)
	select {
	case <-ctx.Done():
	case <-g.drained:
	case <-replaced:
	}
	g.become(leaving)
	err := g.node.Leave() // the program may call others meanwhile
	stopped := keeping.Stop()
	return errors.Join(err, stopped, g.handOver())
}

// handOver ends the sockets after the calls sent on them are answered.
func (g *program) handOver() error {
	ctx, cancel := context.WithTimeout(context.Background(), handoverLimit)
	defer cancel()
	var all error
	for _, s := range g.sockets {
		s.withdraw()
		if s.network == "unix" {
			all = errors.Join(all, s.server.Handover(ctx))
		} else {
			all = errors.Join(all, s.server.Drain(ctx))
		}
	}
	return all
}

// close ends everything that open has started.
func (g *program) close() {
	for _, s := range g.sockets {
		s.close()
	}
	if g.serving != nil {
		_ = g.serving.Stop()
	}
	for _, p := range g.provided {
		p.close()
	}
	if g.others != nil {
		g.others.close()
	}
	if g.node != nil {
		if err := g.node.Close(); err != nil {
			g.log.Warn("the program's node was closed with an error", "err", err)
		}
	}
	g.become(left)
}

// succeeded makes run end once new connections reach another proxy.
func (g *program) succeeded() { g.yield.Do(func() { close(g.yielded) }) }

// leave makes run end.
func (g *program) leave() { g.drain.Do(func() { close(g.drained) }) }

// State is the state of a program.
type State string

// The states of a program.
const (
	starting State = "starting"
	serving  State = "serving" // calls are accepted
	leaving  State = "leaving" // the program is off the lists, and running calls end
	left     State = "left"
)

func (g *program) become(s State) {
	g.mu.Lock()
	changed := g.state != s
	g.state = s
	g.mu.Unlock()
	if changed {
		g.log.Info("the program has changed its state", "state", string(s))
	}
}

// bind makes the program's listeners. They get no connections before publish.
func (g *program) bind(ctx context.Context, held inherited) (list []*socket, err error) {
	add := func(service, network, addr string) error {
		s := &socket{network: network, addr: addr, service: service}
		l, err := held.take(network, addr), error(nil)
		if l != nil {
			err = s.adopt(l, g.cfg.User, g.log)
		} else {
			err = s.bind(g.words.id, g.cfg.User, g.log)
		}
		if err == nil {
			list = append(list, s)
		}
		return err
	}
	if g.cfg.Listen != "" {
		network, addr, err := g.cfg.ListenAddr()
		if err == nil {
			err = add("", network, addr)
		}
		if err != nil {
			return list, err
		}
	}
	for service := range g.cfg.Ports {
		network, addr, err := g.cfg.PortAddr(service)
		if err == nil {
			err = add(service, network, addr)
		}
		if err != nil {
			return list, err
		}
	}
	return list, nil
}
