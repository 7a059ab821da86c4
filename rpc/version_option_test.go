package rpc

import (
	"context"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
)

// asked keeps the versions that calls ask for, and has no instance of any.
type asked struct{ versions []string }

func (a *asked) Resolve(string) Picker { return a }

func (a *asked) Pick(_ context.Context, call *Call) (*Endpoint, error) {
	a.versions = append(a.versions, call.Version)
	return nil, ErrNoInstance
}

func (*asked) Report(*Endpoint, health.Outcome, time.Duration) {}

// TestVersionOption: where no release decides it, a call meets the version of its options, and none when that does not
// run.
func TestVersionOption(t *testing.T) {
	a := &asked{}
	c, err := NewClient(ClientConfig{Resolver: a})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	service, err := c.Service("auth", ServiceOptions{Version: "v2", Retries: new(int)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = service.Call(t.Context(), "get", nil, nil)
	if CodeOf(err) != VersionUnavailable || len(a.versions) == 0 || a.versions[0] != "v2" {
		t.Errorf("asked for %q: %v", a.versions, err)
	}
}
