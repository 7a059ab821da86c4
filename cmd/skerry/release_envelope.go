package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sshsig"
)

// byEnvelope follows the operator's name in steps signed with --envelope. It marks them
// even after the key's line was removed.
const byEnvelope = " (envelope)"

// envelopeUse is a step that the key of the envelope has signed.
type envelopeUse struct {
	rollout.Position
	By   string    `json:"by"`
	Step string    `json:"step"`
	At   time.Time `json:"at"`
}

// envelope returns the steps that the envelope's key has signed and no other key has
// acknowledged since. It finds the key by its name in the file of operators, or by the
// steps signed with --envelope.
func (s siteState) envelope() (uses []envelopeUse) {
	keys, signers := map[sshsig.PublicKey]bool{}, make([]sshsig.PublicKey, len(s.Trail))
	for i, e := range s.Trail {
		named := i < len(s.Signers) && s.Signers[i].name == operatorkey.Breakglass
		if !named && !strings.HasSuffix(e.By, byEnvelope) && len(e.Acknowledges) == 0 {
			continue
		}
		key, ok := signerKey(e)
		if ok && (named || strings.HasSuffix(e.By, byEnvelope)) {
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
			uses = append(uses, envelopeUse{e.Position(), e.By, e.Step, e.At})
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

// envelopeText describes the newest uses in one line.
func envelopeText(uses []envelopeUse) string {
	var parts []string
	for _, u := range uses[max(0, len(uses)-3):] {
		parts = append(parts, fmt.Sprintf("generation %v (%s, by %s, at %s UTC)", u.Generation, u.Step, u.By,
			u.At.UTC().Format(time.DateTime)))
	}
	text := strings.Join(parts, ", ")
	if more := len(uses) - len(parts); more > 0 {
		text = fmt.Sprintf("%s before, and %s", count(more, "step", "s"), text)
	}
	return text
}

func (a *app) releaseAcknowledgeCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "acknowledge",
		Short: "Say that the envelope's key was used by an operator",
		Long: `release status and doctor show every step that the key of the envelope has
signed, until another operator acknowledges it. acknowledge adds an empty step
under your key that names them; it changes no rule.

Afterwards take the line of the envelope's key out of the file of operators, on
every host, and make another one: skerry operator envelope.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases, _ []string) error {
			if f.envelope {
				return usagef("what the envelope's key has signed is acknowledged by another key: leave --envelope out")
			}
			s, err := to.State(ctx)
			if err == nil {
				err = s.whole()
			}
			if err != nil {
				return err
			}
			uses := s.envelope()
			if len(uses) == 0 {
				return problemf("the key of the envelope has signed nothing that is not acknowledged")
			}
			plan, seen := []string{}, []rollout.Position{}
			for _, u := range uses {
				plan = append(plan, fmt.Sprintf("acknowledge generation %v, %q by %s", u.Generation, u.Step, u.By))
				seen = append(seen, u.Position)
			}
			if err := a.confirm(f, append(plan, "add an empty step under your key")...); err != nil {
				return err
			}
			if err := to.Acknowledge(ctx, seen...); err != nil {
				return err
			}
			if s, err = to.State(ctx); err != nil {
				return err
			}
			if len(s.envelope()) > 0 {
				return problemf("the step was signed by the envelope's key itself, and acknowledges nothing\n" +
					"Next: the same command with your own --key")
			}
			r, _ := s.session()
			return a.stepped(r, "Acknowledged. Next: take the line "+operatorkey.Breakglass+" out of the file of "+
				"operators on every host, and make another: skerry operator envelope")
		}),
	}
}
