package skerry

import (
	"context"
	"fmt"
)

// AcquireExclusive waits until this process may run its version of a service of which two versions
// may never run at once, because they own a device. The wait ends when the previous version has
// been drained and its processes have stopped (strategy blocking or waiting of skerry release).
// Then open the device, serve, and call release when the device is closed:
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
// The log and release status name a waiting process. It is on no list, and refuses calls. Without a
// rule against it the wait ends at once. Two processes of one version may run at the same time, so
// the device needs a lock as well.
func (n *Node) AcquireExclusive(ctx context.Context, service string) (release func(), err error) {
	n.rules.Await(ctx) // the rules of an earlier run may be old
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
		n.log.Info("the version has its turn, and may run", "service", service, "version", version)
	}
	return done, err
}

// version is the configured version of a service in this process.
func (n *Node) version(service string) string {
	for _, s := range n.cfg.Services {
		if s.Name == service {
			return s.Version
		}
	}
	return ""
}
