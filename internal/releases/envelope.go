package releases

import (
	"fmt"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sshsig"
)

// ByEnvelope follows the operator's name in steps signed with --envelope. It marks them
// even after the key's line was removed.
const ByEnvelope = " (envelope)"

// EnvelopeUse is a step that the key of the envelope has signed.
type EnvelopeUse struct {
	rollout.Position
	By   string    `json:"by"`
	Step string    `json:"step"`
	At   time.Time `json:"at"`
}

// Envelope returns the steps that the envelope's key has signed and no other key has
// acknowledged since. It finds the key by its name in the file of operators, or by the
// steps signed with --envelope.
func (s Site) Envelope() (uses []EnvelopeUse) {
	keys, signers := map[sshsig.PublicKey]bool{}, make([]sshsig.PublicKey, len(s.Trail))
	for i, e := range s.Trail {
		named := i < len(s.Signers) && s.Signers[i].Name == operatorkey.Breakglass
		if !named && !strings.HasSuffix(e.By, ByEnvelope) && len(e.Acknowledges) == 0 {
			continue
		}
		key, ok := signerKey(e)
		if ok && (named || strings.HasSuffix(e.By, ByEnvelope)) {
			keys[key] = true
		}
		signers[i] = key
	}
	if len(keys) == 0 {
		return nil
	}
	seen := map[string]bool{}
	for i, e := range s.Trail {
		for _, p := range e.Acknowledges {
			seen[p.Hash] = seen[p.Hash] || signers[i] != (sshsig.PublicKey{}) && !keys[signers[i]]
		}
	}
	for i, e := range s.Trail {
		if signers[i] == (sshsig.PublicKey{}) {
			signers[i], _ = signerKey(e)
		}
		if keys[signers[i]] && !seen[e.Hash()] {
			uses = append(uses, EnvelopeUse{e.Position(), e.By, e.Step, e.At})
		}
	}
	return uses
}

// signerKey returns the key that has signed an entry, trusted or not.
func signerKey(e rollout.Entry) (sshsig.PublicKey, bool) {
	for _, p := range e.Proofs() {
		if p.Kind != rollout.SSHProof {
			continue
		}
		if key, err := sshsig.Verify(p.Signature, string(rollout.ForRelease), []byte(e.Body())); err == nil {
			return key, true
		}
	}
	return sshsig.PublicKey{}, false
}

// EnvelopeText describes the newest uses in one line.
func EnvelopeText(uses []EnvelopeUse) string {
	var parts []string
	for _, u := range uses[max(0, len(uses)-3):] {
		parts = append(parts, fmt.Sprintf("generation %v (%s, by %s, at %s UTC)", u.Generation, u.Step, u.By,
			u.At.UTC().Format(time.DateTime)))
	}
	text := strings.Join(parts, ", ")
	if more := len(uses) - len(parts); more > 0 {
		text = fmt.Sprintf("%s before, and %s", number.Count(more, "step", "s"), text)
	}
	return text
}
