package skerry

import (
	"context"
	"errors"
	"log/slog"

	"github.com/apache/thrift/lib/go/thrift"
)

// Node is one process's part in a cluster. Its methods may be called from any
// goroutine.
type Node struct{}

// Option changes a node in ways that a configuration file can't.
type Option func(*options)

type options struct{ logger *slog.Logger }

// WithLogger makes the node log to l. The default writes text to stderr, at
// the level that the configuration names.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// Open starts a node by a configuration file or a Config value. It returns as
// soon as the node is running: it waits for no database and no network.
// Close ends what Open began.
func Open[C string | Config](ctx context.Context, config C, opts ...Option) (*Node, error) {
	return nil, errors.New("skerry: not wired yet")
}

// Client is a thrift.TClient that calls the service by name. It is safe for
// concurrent use; the generated clients made on it are not: see [Stub].
func (n *Node) Client(service string) thrift.TClient { return nil }

// Handle offers the service and returns; it is served until Close. The
// instance's version, weight and tags come from the configuration.
func (n *Node) Handle(ctx context.Context, service string, p thrift.TProcessor) error {
	return errors.New("skerry: not wired yet")
}

// Serve offers the service until ctx ends, then leaves politely: out of the
// lists, callers told, running calls finished. It returns nil after that.
func (n *Node) Serve(ctx context.Context, service string, p thrift.TProcessor) error {
	return errors.New("skerry: not wired yet")
}

// Close leaves politely, when Serve has not done so already, and ends all
// that the node started. Further calls of Close do nothing.
func (n *Node) Close() error { return nil }
