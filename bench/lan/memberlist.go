package lan

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skerry/skerry/internal/run"
)

// member is a member of memberlist as it comes for a LAN.
type member struct {
	place
	list  *memberlist.Memberlist
	group *run.Group
}

// join asks the seed, which memberlist needs by design, until it answers.
func (m *member) join(ctx context.Context, tell *teller) (err error) {
	c := memberlist.DefaultLANConfig()
	c.Name, c.BindAddr, c.AdvertiseAddr = strconv.Itoa(m.host), m.ip, m.ip
	c.LogOutput, c.Events = io.Discard, events{tell}
	if m.list, err = memberlist.Create(c); err != nil {
		return err
	}
	m.group = run.NewGroup(ctx)
	m.group.Go(func(ctx context.Context) error {
		for ctx.Err() == nil {
			if _, err := m.list.Join([]string{m.seed}); err == nil {
				return nil
			}
			_ = run.Sleep(ctx, 100*time.Millisecond)
		}
		return nil
	})
	return nil
}

// call has nothing to call with: memberlist probes by itself.
func (m *member) call(ctx context.Context, _ *teller) { <-ctx.Done() }

func (m *member) leave() error {
	_ = m.group.Stop()
	return m.list.Shutdown()
}

type events struct{ tell *teller }

func (e events) NotifyJoin(n *memberlist.Node)  { e.listed(n, true) }
func (e events) NotifyLeave(n *memberlist.Node) { e.listed(n, false) }
func (events) NotifyUpdate(*memberlist.Node)    {}

func (e events) listed(n *memberlist.Node, is bool) {
	if host, err := strconv.Atoi(n.Name); err == nil {
		e.tell.listed(host, is)
	}
}
