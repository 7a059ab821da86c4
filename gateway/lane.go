package gateway

import (
	"net/http"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
)

// governed is a node that holds the site's policy. *skerry.Node implements it.
type governed interface {
	PolicyTable() *policy.Table
}

// tableOf is the policy that a node obeys, nil without one.
func tableOf(node any) *policy.Table {
	if n, ok := node.(governed); ok {
		return n.PolicyTable()
	}
	return nil
}

// previewLane is the mark of a lane that stands for the mark of the open release.
const previewLane = "preview"

// laneOf is the mark that the site's policy gives to the trace of a request, "" without one. client is
// the address of the request's client.
func (a *arrival) laneOf(r *http.Request, lanes *policy.Table, log *rollout.Log, client string) string {
	if lanes == nil {
		return ""
	}
	lane := lanes.Lane(&policy.Request{
		Method:  methodName(r.Method),
		Path:    r.URL.Path,
		IP:      client,
		Header:  r.Header.Get,
		Baggage: a.baggage,
		Cookie: func(name string) string {
			c, err := r.Cookie(name)
			if err != nil {
				return ""
			}
			return c.Value
		},
		Seed:   a.seed,
		Seeded: true,
	})
	if lane == nil {
		return ""
	}
	if lane.Gets != previewLane {
		return lane.Gets
	}
	if release, open := openRelease(log); open {
		return release.Mark
	}
	return "" // the lane sleeps until there is a release to look at
}
