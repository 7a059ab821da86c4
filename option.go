package skerry

import (
	"log/slog"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Option sets an option of a node that a configuration file can't set.
type Option func(*options)

type options struct {
	logger   *slog.Logger
	client   []rpc.ClientInterceptor
	server   []rpc.ServerInterceptor
	watchAll bool
	observer bool
	caller   string
	sources  func(registry.Owner) []discovery.Source // instead of the mode's sources, for tests
	here     string                                  // instead of this host's name, for its own addresses, for tests
}

// WithLogger makes the node log to l instead of to stderr by the configuration.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithClientInterceptors adds interceptors of every call that the node makes, the first one
// outermost.
func WithClientInterceptors(list ...rpc.ClientInterceptor) Option {
	return func(o *options) { o.client = append(o.client, list...) }
}

// WithServerInterceptors adds interceptors of every handler of the node, the first one outermost.
func WithServerInterceptors(list ...rpc.ServerInterceptor) Option {
	return func(o *options) { o.server = append(o.server, list...) }
}

// WithAllServices makes the node know every service of the site, including those that it does not
// call. It is for tools that show the site.
func WithAllServices() Option { return func(o *options) { o.watchAll = true } }

// AsObserver keeps the node from becoming a member of the site, for tools that run for a short
// time. The node opens no port before it offers a service, is on no membership list, and no release
// waits for it.
func AsObserver() Option { return func(o *options) { o.observer = true } }

// WithCaller names the process, to callees and in traces, instead of by its first service. It is
// for a process in front of a program of another language.
func WithCaller(name string) Option { return func(o *options) { o.caller = name } }
