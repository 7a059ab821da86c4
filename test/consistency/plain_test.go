//go:build linux

package consistency

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/test/consistency/hop"
)

// plain serves hop like any program of Apache Thrift.
func plain(ctx context.Context, p part, out *lines) error {
	l, err := thrift.NewTServerSocket(p.Listen)
	if err != nil {
		return err
	}
	server := thrift.NewTSimpleServer4(hop.NewHopProcessor(&stranger{part: p, out: out}), l,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		thrift.NewTBinaryProtocolFactoryConf(nil))
	context.AfterFunc(ctx, func() { _ = server.Stop() }) // the process ends anyway
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now()})
	return server.Serve()
}

// stranger makes the calls of a plan by connections of its own to an entry.
type stranger struct {
	part
	out   *lines
	calls atomic.Int64
}

func (s *stranger) Visit(ctx context.Context, text string) error {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return &hop.Failed{Code: "errand", Reason: err.Error()}
	}
	if s.Service != "" { // else the checker does not see it
		s.out.note(note{Kind: began, ID: fmt.Sprint(s.Name, "#", s.calls.Add(1)), Trace: e.Trace, Service: s.Service,
			Version: s.Version, At: time.Now()})
	}
	for _, p := range e.Plan.Calls {
		// It passes nothing on: its callees know no more of the trace.
		if err := s.call(ctx, errand{Trace: e.Trace + "~" + s.Name, Plan: p}); err != nil {
			return &hop.Failed{Code: "legacy", Reason: err.Error()}
		}
	}
	return nil
}

func (s *stranger) Post(ctx context.Context, text string) error { return s.Visit(ctx, text) }

func (s *stranger) call(ctx context.Context, e errand) error {
	conf := &thrift.TConfiguration{ConnectTimeout: 5 * time.Second, SocketTimeout: 15 * time.Second}
	to := thrift.NewTFramedTransportConf(thrift.NewTSocketConf(s.Doors[s.calls.Add(1)%int64(len(s.Doors))], conf), conf)
	if err := to.Open(); err != nil {
		return err
	}
	defer to.Close()
	in, out := thrift.NewTBinaryProtocolConf(to, conf), thrift.NewTBinaryProtocolConf(to, conf)
	return hop.NewHopClient(thrift.NewTStandardClient(in, out)).Visit(ctx, e.String())
}
