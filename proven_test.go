package skerry

import (
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// proven is an entry that the site's key of a node has signed.
func proven(t *testing.T, n *Node, e rollout.Entry) rollout.Entry {
	t.Helper()
	e, err := e.Seal()
	must(t, "seal", err)
	proof, err := n.trust.SiteSigner().Sign(rollout.ForRelease, e.Body())
	must(t, "sign", err)
	return e.WithProof(proof)
}
