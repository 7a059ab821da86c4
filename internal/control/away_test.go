package control

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/skerry/skerry/rpc"
)

// TestAway: a process that can't be connected is away; one that is silent on a connection, or refuses it in the
// handshake, is not.
func TestAway(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}
	failed := func(code rpc.Code, err error) error {
		return fmt.Errorf("ask: %w", &rpc.Error{Code: code, Err: err})
	}
	for name, c := range map[string]struct {
		p    PolicyProcess
		away bool
	}{
		"answers":                      {PolicyProcess{}, false},
		"knows no policies":            {PolicyProcess{Err: ErrNoPolicies}, false},
		"was not asked":                {PolicyProcess{Err: errNoAnswer}, false},
		"its port is closed":           {PolicyProcess{Err: failed(rpc.Unreachable, dial)}, true},
		"its connection broke":         {PolicyProcess{Err: failed(rpc.ConnectionLost, nil)}, true},
		"is silent on its connection":  {PolicyProcess{Err: failed(rpc.ConnectionLost, rpc.ErrSilent)}, false},
		"is known to have ended":       {PolicyProcess{Err: errNoAnswer, Ended: true}, true},
		"hangs in the handshake":       {PolicyProcess{Err: failed(rpc.Unreachable, errors.New("handshake"))}, false},
		"refuses the certificate":      {PolicyProcess{Err: failed(rpc.Unreachable, alert)}, false},
		"takes the call and is silent": {PolicyProcess{Err: failed(rpc.DeadlineExceeded, nil)}, false},
	} {
		if c.p.Away() != c.away {
			t.Errorf("a process that %s: away %v", name, c.p.Away())
		}
	}
}
