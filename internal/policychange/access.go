package policychange

import (
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/rpc"
)

// Accessed holds the calls that access lists refuse, or would refuse.
type Accessed struct {
	Cluster  string            `json:"cluster"`
	Calls    []rpc.DeniedCalls `json:"calls"`            // sums over the processes
	Others   int64             `json:"others,omitempty"` // calls of further kinds
	Answered int               `json:"processes"`        // that have counted
	Silent   map[string]string `json:"silent,omitempty"` // reason, by process
	Allow    string            `json:"allow,omitempty"`  // YAML
}

// AccessedOf is the document of what was counted of a service; "" is all services.
func AccessedOf(cluster, service string, d control.Denied) Accessed {
	x := Accessed{Cluster: cluster, Calls: []rpc.DeniedCalls{}, Others: d.Others, Answered: d.Answered,
		Silent: map[string]string{}}
	for _, c := range d.Calls {
		if service == "" || c.Service == service {
			x.Calls = append(x.Calls, c)
		}
	}
	for process, err := range d.Silent {
		x.Silent[process] = Silence(err)
	}
	return x
}

// Silence says why a process has not told what it was asked.
func Silence(err error) string {
	if rpc.CodeOf(err) == rpc.UnknownMethod {
		return "its release of skerry does not know how"
	}
	return err.Error()
}
