package membership

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

const (
	// DoctorRest is the age up to which one examination answers all that ask.
	DoctorRest = 5 * time.Second
	// doctorLimit is how long the question for an examination may take.
	doctorLimit = 10 * time.Second
)

var errNoDoctor = errors.New("the process is leaving, and does not examine itself any more")

// checkup is an examination of the process, one at a time.
type checkup struct {
	mu      sync.Mutex
	running chan struct{} // closed at its end; nil: none runs
	report  []byte        // the last one
	err     error
	at      time.Time // when that ended
}

// Doctor examines the process and its host. All that ask at a time get one examination.
func (s *Service) Doctor(ctx context.Context) ([]byte, error) {
	c := &s.checkup
	c.mu.Lock()
	if c.running == nil {
		if time.Since(c.at) < DoctorRest {
			defer c.mu.Unlock()
			return c.report, c.err
		}
		ended := make(chan struct{})
		begun := s.m.spawn(func(ctx context.Context) {
			report, err := s.cfg.Examine(ctx)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.report, c.err, c.at, c.running = report, err, time.Now(), nil
			close(ended)
		})
		if !begun {
			c.mu.Unlock()
			return nil, errNoDoctor
		}
		c.running = ended
	}
	running := c.running
	c.mu.Unlock()
	select {
	case <-running:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report, c.err
}

// Doctor has the process examine itself and its host.
func (p *Peer) Doctor(ctx context.Context) ([]byte, error) {
	to, err := p.calls.Service(InternalService, rpc.ServiceOptions{Timeout: doctorLimit})
	if err != nil {
		return nil, err
	}
	p.used.Store(time.Now().UnixNano())
	return wire.NewInternalClient(to).Doctor(ctx)
}

// Examine has processes examine themselves, some at a time, and returns when all have answered or failed.
func (m *Membership) Examine(ctx context.Context, all []Member, got func(Member, []byte, error)) {
	places := make(chan struct{}, examinedAtOnce)
	g := run.NewGroup(ctx)
	for _, k := range all {
		g.Go(func(ctx context.Context) error {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			case <-ctx.Done():
				got(k, nil, ctx.Err())
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, doctorLimit)
			defer cancel()
			p, err := m.peer(k)
			var report []byte
			if err == nil {
				report, err = p.Doctor(ctx)
			}
			got(k, report, err)
			return nil
		})
	}
	_ = g.Wait()
}

// examinedAtOnce bounds the processes that examine themselves at a time, as each makes connections to the database.
const examinedAtOnce = 16
