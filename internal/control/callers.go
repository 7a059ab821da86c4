package control

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/skerry/skerry/internal/membership"
)

// Caller is a process that calls services.
type Caller struct {
	Process string           // registry.Owner.String
	Name    string           // at its callees: a service, a program, or ip: and its address
	Gateway bool             // it takes in users' requests
	Calls   map[string]int64 // since its start, by service
}

// Callers asks all processes which services they have called. Processes that do not answer are left out.
func (p *Policies) Callers(ctx context.Context) (list []Caller, err error) {
	others, err := p.others(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	p.s.m.Each(ctx, others, func(ctx context.Context, q *membership.Peer) {
		id, err := q.Client().WhoAmI(ctx)
		if err != nil {
			return
		}
		made, err := peer{q}.Served(ctx, 0, nil)
		if err != nil {
			return
		}
		c := Caller{Process: q.Owner.String(), Name: id.GetCaller(), Gateway: id.GetGateway(),
			Calls: map[string]int64{}}
		if host, _, err := net.SplitHostPort(q.Addr); c.Name == "" && err == nil {
			c.Name = "ip:" + host
		}
		for _, s := range made {
			if s.Made && s.Calls > 0 && !membership.Hidden(s.Service) {
				c.Calls[s.Service] += s.Calls
			}
		}
		mu.Lock()
		defer mu.Unlock()
		list = append(list, c)
	})
	slices.SortFunc(list, func(a, b Caller) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Process, b.Process))
	})
	return list, nil
}
