package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/rpc"
)

// Examined is what the processes of a site have found of themselves and of their hosts.
type Examined struct {
	Reports []doctor.Report
	Silent  map[string]error // by process: why it has not answered
}

// ErrNoDoctor: the process is of a release that does not examine itself.
var ErrNoDoctor = errors.New("its release of skerry is too old to examine itself")

// Examine has every other process of the site examine itself and its host, until ctx ends.
func Examine(ctx context.Context, n *skerry.Node) (Examined, error) {
	e := Examined{Silent: map[string]error{}}
	others, err := newSite(n).others(ctx)
	if err != nil {
		return e, err
	}
	begun := time.Now()
	var mu sync.Mutex
	n.Membership().Examine(ctx, others, func(k membership.Member, text []byte, err error) {
		came := time.Now()
		r, err := examined(k, text, err)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			e.Silent[k.Owner.String()] = err
			return
		}
		r.Findings = append(r.Findings, doctor.Clock(r, begun, came, membership.DoctorRest)...)
		e.Reports = append(e.Reports, r)
	})
	return e, nil
}

func examined(k membership.Member, text []byte, err error) (doctor.Report, error) {
	if rpc.CodeOf(err) == rpc.UnknownMethod {
		err = ErrNoDoctor
	}
	if err != nil {
		return doctor.Report{}, err
	}
	r, err := doctor.Read(text)
	if err == nil && r.Process != k.Owner.String() {
		err = errors.New("another process answers at its address")
	}
	return r, err
}
