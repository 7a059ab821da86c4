// Package steps is the application of `bench deploy`, the same for all columns: a portal that asks
// auth and proc, and a proc that asks auth and db.
package steps

import (
	"context"
	"fmt"
	"os"

	"github.com/skerry/skerry/bench/deploy/stepapi"
)

// Names are the services, the entrance first.
var Names = []string{"portal", "auth", "proc", "db"}

// Callees are the services that each one calls, in order.
var Callees = map[string][]string{"portal": {"auth", "proc"}, "proc": {"auth", "db"}}

// Caller runs a step of another service.
type Caller func(ctx context.Context, service, request string) (string, error)

// Handler is one service.
type Handler struct {
	instance string
	callees  []string
	call     Caller
}

// New makes the service with this name.
func New(service, version string, call Caller) (*Handler, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of the host: %w", err)
	}
	return &Handler{Instance(service, version, host), Callees[service], call}, nil
}

// Instance is how an instance is named in answers.
func Instance(service, version, host string) string { return service + "/" + version + "@" + host }

// Run asks the callees, and adds its own name.
func (h *Handler) Run(ctx context.Context, request string) (string, error) {
	answer := h.instance
	for _, service := range h.callees {
		part, err := h.call(ctx, service, request)
		if err != nil {
			return "", fmt.Errorf("%s: %w", service, err)
		}
		answer += " " + part
	}
	return answer, nil
}

var _ stepapi.Step = (*Handler)(nil)
