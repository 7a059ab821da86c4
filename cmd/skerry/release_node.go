package main

import (
	"context"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/releases"
)

// openSite returns the configured site, joined as a guest.
func (a *app) openSite(ctx context.Context, f *releaseFlags) (releases.Operations, func(), error) {
	n, c, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return nil, nil, err
	}
	signer, err := a.signer(ctx, c, f)
	if err != nil {
		n.Close()
		return nil, nil, err
	}
	a.look(ctx, n, "")
	by := control.Operator{Name: f.author(), Without: f.dead, CutStreams: f.cutStreams}
	hands, leaveAgents := a.hands(ctx, n, c, f, signer)
	leave := func() { leaveAgents(); n.Close() }
	if signer != nil { // else by.Signer would be a nil of a type
		by.Signer, leave = signer, func() { leaveAgents(); signer.Close(); n.Close() }
	}
	return releases.New(n, by, a.flags.timeout, a.teller(), hands), leave, nil
}
