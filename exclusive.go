package skerry

import (
	"context"
	"fmt"
)

// AcquireExclusive waits until this process may run its version of a service of
// which two versions may never run at once, because they own a device: until the
// version before has been drained and its processes have stopped (strategy
// blocking or waiting of skerry release). Open the device then, serve, and call
// release when the device is closed:
//
//	release, err := node.AcquireExclusive(ctx, "pump")
//	if err != nil {
//		return err // ctx has ended before
//	}
//	defer release()
//	device, err := open("/dev/ttyS0")
//	…
//	defer device.Close()
//	return node.Serve(ctx, "pump", pumpapi.NewPumpProcessor(handler{device}))
//
// A process that waits is named in the log and in release status, is on no list,
// and refuses calls. Without a rule that says otherwise the turn is there at once;
// two processes of one version are not kept apart. So lock the device, too.
func (n *Node) AcquireExclusive(ctx context.Context, service string) (release func(), err error) {
	n.rules.Await(ctx) // what an earlier run has kept may be old
	if release, err = n.turn(ctx, service, n.version(service)); err != nil {
		return nil, fmt.Errorf("wait for the turn of %s: %w", service, err)
	}
	return release, nil
}

func (n *Node) turn(ctx context.Context, service, version string) (done func(), err error) {
	waited := false
	done, err = n.rules.AwaitTurn(ctx, service, version, func(why error) {
		waited = true
		n.log.Warn("the version may not run yet: it is not listed, and refuses calls", "service", service, "version",
			version, "why", why)
	})
	if err == nil && waited {
		n.log.Info("it is the version's turn", "service", service, "version", version)
	}
	return done, err
}

// version is what the configuration says that the process runs of a service.
func (n *Node) version(service string) string {
	for _, s := range n.cfg.Services {
		if s.Name == service {
			return s.Version
		}
	}
	return ""
}
