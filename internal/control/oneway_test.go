package control_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/run"
)

// tick is the processor of a service with one method, a one-way one, in the form
// that the Thrift compiler generates.
type tick struct{ err error }

func (p tick) ProcessorMap() map[string]thrift.TProcessorFunction {
	return map[string]thrift.TProcessorFunction{"tick": nil}
}
func (p tick) AddToProcessorMap(string, thrift.TProcessorFunction) {}
func (p tick) Process(ctx context.Context, in, _ thrift.TProtocol) (bool, thrift.TException) {
	if _, _, _, err := in.ReadMessageBegin(ctx); err != nil {
		return false, thrift.WrapTException(err)
	}
	if err := in.Skip(ctx, thrift.STRUCT); err != nil {
		return false, thrift.WrapTException(err)
	}
	return true, thrift.WrapTException(p.err)
}

// nothing is an empty struct.
type nothing struct{}

func (nothing) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(p.WriteStructBegin(ctx, ""), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}
func (nothing) Read(ctx context.Context, p thrift.TProtocol) error { return p.Skip(ctx, thrift.STRUCT) }

// TestGuardSeesOneWayFailures ramps a version up with a one-way handler that always
// fails. Callers get no reply, so the version's own count must turn the ramp back.
func TestGuardSeesOneWayFailures(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	site := lanSite(t)
	serve := func(version string, err error) {
		c := site
		c.StateDir = t.TempDir()
		c.Service = config.Service{Name: "tick", Version: version}
		n := open(t, c)
		run.NewGroup(t.Context()).Go(func(ctx context.Context) error { return n.Serve(ctx, "tick", tick{err}) })
	}
	serve("v1", nil)
	consumer := site
	consumer.StateDir = t.TempDir()
	root := open(t, consumer)
	call := func() error {
		ctx, end := root.Begin(ctx, "job")
		defer end()
		_, err := root.Client("tick").Call(ctx, "tick", nothing{}, nil)
		return err
	}
	eventually(t, "v1 is called", func() bool { return call() == nil })
	c := site
	c.StateDir = "none"
	ann := control.Releases(open(t, c, skerry.AsObserver()), control.Operator{Name: "ann"})
	must(t, "start", ann.Start(ctx, "spring", "a broken one", ""))
	serve("v2", errors.New("the queue is gone"))
	eventually(t, "v2 is shipped", func() bool {
		return ann.Ship(ctx, rollout.Module{Service: "tick", Old: "v1", New: "v2"}) == nil
	})
	var stop atomic.Bool
	load := run.NewGroup(ctx)
	load.Go(func(context.Context) error {
		for ; !stop.Load(); time.Sleep(time.Millisecond) {
			_ = call()
		}
		return nil
	})
	guard := operator.Guard{Bounds: operator.Bounds{Failures: 0.2, Calls: 20}}
	err := ann.Ramp(ctx, []int{5000, rollout.Whole}, 2*time.Second, guard)
	stop.Store(true)
	must(t, "load", load.Wait())
	if !errors.Is(err, operator.ErrGuard) || !strings.Contains(err.Error(),
		"tick/v2 fails: the processes that serve it") {
		t.Errorf("the guard says: %v", err)
	}
}
