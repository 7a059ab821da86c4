//go:build linux

package attack

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sshsig"
)

// sign signs a text for a purpose with the operator's key.
func (o operator) sign(t *testing.T, purpose rollout.Purpose, text string) rollout.Proof {
	t.Helper()
	blob, err := sshsig.Blob(o.public, string(purpose),
		ed25519.Sign(o.private, sshsig.Signed(string(purpose), []byte(text))))
	must(t, err)
	return rollout.Proof{Kind: rollout.SSHProof, Signature: blob}
}

// asks returns an undertaking that the operator requests.
func (o operator) asks(t *testing.T, verb func(rollout.Entry, string) string, e rollout.Entry, command string) []byte {
	t.Helper()
	return undertaking(t, command, o.sign(t, rollout.ForPromise, verb(e, command)))
}

func undertaking(t *testing.T, command string, proof rollout.Proof) []byte {
	t.Helper()
	b, err := json.Marshal(rollout.Undertaking{Command: command, Proof: proof})
	must(t, err)
	return b
}

// entry returns an entry that sends all calls of auth to a version, after another entry.
func (s *site) entry(t *testing.T, after rollout.Position, version string,
	change ...func(*rollout.Entry)) rollout.Entry {
	t.Helper()
	e := rollout.Entry{Cluster: s.cluster, Generation: rollout.Generation{Timeline: after.Generation.Timeline,
		N: after.Generation.N + 1},
		Previous: after.Hash, Release: "attack", By: "li", Step: "auth " + version,
		Rules: map[string]rollout.Rule{"auth": {Version: version}}}
	for _, f := range change {
		f(&e)
	}
	sealed, err := e.Seal()
	if err != nil { // entries that no honest process can seal are sent unchanged
		return e
	}
	return sealed
}

// signed returns the entry with the operator's signature.
func (o operator) signed(t *testing.T, e rollout.Entry) rollout.Entry {
	t.Helper()
	return e.WithProof(o.sign(t, rollout.ForRelease, e.Body()))
}

// records returns entries in their wire form.
func records(entries ...rollout.Entry) (out [][]byte) {
	for _, e := range entries {
		out = append(out, e.Record().Marshal())
	}
	return out
}
