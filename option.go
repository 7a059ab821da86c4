package skerry

import (
	"log/slog"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Option changes a node in ways that a configuration file can't.
type Option func(*options)

type options struct {
	logger   *slog.Logger
	client   []rpc.ClientInterceptor
	server   []rpc.ServerInterceptor
	watchAll bool
	observer bool
	caller   string
	sources  func(registry.Owner) []discovery.Source // instead of those of the mode, for tests
	here     string                                  // instead of this host's name for its own addresses, for tests
}

// WithLogger makes the node log to l instead of to stderr as the
// configuration says.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithClientInterceptors puts code around every call that the node makes, the
// first one outermost.
func WithClientInterceptors(list ...rpc.ClientInterceptor) Option {
	return func(o *options) { o.client = append(o.client, list...) }
}

// WithServerInterceptors puts code around every handler of the node, the
// first one outermost.
func WithServerInterceptors(list ...rpc.ServerInterceptor) Option {
	return func(o *options) { o.server = append(o.server, list...) }
}

// WithAllServices makes the node know every service of the site, not only
// those that it calls: for tools that show the site.
func WithAllServices() Option { return func(o *options) { o.watchAll = true } }

// AsObserver makes the node no member of the site: it opens no port before it
// offers something, is on no membership list, and no release waits for it. For
// tools that come and go.
func AsObserver() Option { return func(o *options) { o.observer = true } }

// WithCaller names the process, to callees and in traces, other than by its first
// service: for a process that stands for a program of another language.
func WithCaller(name string) Option { return func(o *options) { o.caller = name } }
