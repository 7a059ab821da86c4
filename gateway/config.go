package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/rpc"
)

// Node is the part of a process that a gateway needs. *skerry.Node implements it.
type Node interface {
	Rollout() *participant.Agent
	Picker(service string) rpc.Picker
	ServiceOptions(service string) rpc.ServiceOptions
	Dial(ctx context.Context, e *rpc.Endpoint) (net.Conn, error)
	Client(service string, edits ...func(*rpc.ServiceOptions)) thrift.TClient
	Stats() *health.Recorder
	BeGateway()
	AdmitForeign(c *rpc.ForeignCall) (end func(), err error)
}

// Config configures a gateway. Only Routes are required.
type Config struct {
	config.Gateway // zero fields have the defaults of the configuration; Listen and TLS have no effect here

	Retries   int           // further attempts of one request; 0 means 2, -1 none
	MaxJSON   int           // bytes of a body for a Thrift service; 0 means 1 MiB
	ServerTLS *tls.Config   // of the port; nil means plain HTTP
	Drain     time.Duration // how long Serve waits for running requests when it stops; 0 means 30 s
	Logger    *slog.Logger  // for the access log and failures; nil means slog.Default
}

const (
	bodyIdle    = 30 * time.Second // of a handler that [Trace] wraps
	readHeaders = 10 * time.Second // for a client to send its headers
	idleLimit   = 2 * time.Minute  // of a client's connection without a request
)

// complete checks the configuration, and fills in the defaults.
func (c *Config) complete() error {
	if len(c.Routes) == 0 {
		return errors.New("gateway: no routes; name at least a path and a service")
	}
	if err := c.Validate(); err != nil {
		return err
	}
	c.Gateway = c.WithDefaults()
	switch {
	case c.Retries == 0:
		c.Retries = 2
	case c.Retries < 0:
		c.Retries = 0
	}
	c.MaxJSON = cmp.Or(c.MaxJSON, 1<<20)
	c.Drain = cmp.Or(c.Drain, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// methodName maps a method to a name for statistics, so that the names are few.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return method
	}
	return "other"
}
