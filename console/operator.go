package console

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"strings"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Signers are the operators' keys that are unlocked for a console. See docs/security.md, "The console and operators'
// keys".
type Signers interface {
	// Operators reports whether the site names operators, so that steps need the signature of one.
	Operators() bool
	// Signer returns the signer of the operator whose key was unlocked at the terminal of this console; nil when none
	// of this name was.
	Signer(name string) operator.Signer
}

// operator returns the operator that signs a step of the site for an actor. ok is false when the site's operators have
// keys and the session has none: nothing may be done then, and Do returns an outcome with a [confirmation].
//
//	op, ok := c.operator(by)
//	if !ok {
//		return outcome{Confirm: &confirmation{Command: "skerry release rollback", Code: StepCode(…)}}, nil
//	}
//	err := control.Releases(c.node, op).Rollback(ctx)
func (c *handler) operator(by actor) (op control.Operator, ok bool) {
	op = control.Operator{Name: by.Name}
	if c.signers == nil || !c.signers.Operators() {
		return op, true // the site's key signs
	}
	if !by.session.terminal {
		return op, false
	}
	op.Signer = c.signers.Signer(by.Name)
	return op, op.Signer != nil
}

// StepCode is the code of a step of a release: of the hash of the log that it goes on from, and of what it will do.
// Numbers in what it will do are left out, because some of them count what goes on meanwhile.
func StepCode(on string, will []string) string {
	return Code("release", on, numbers.ReplaceAllString(strings.Join(will, "\n"), "#"))
}

var numbers = regexp.MustCompile(`[0-9]+`)

// PolicyCode is the code of a change of the policy: of the policy in force, the next text, the plans that are then on,
// and the time in which it must be confirmed.
func PolicyCode(now, next policylog.Entry) string {
	before := ""
	if now.Number > 0 {
		before = now.Hash()
	}
	text := strings.TrimRight(strings.ReplaceAll(next.Text, "\r\n", "\n"), "\n") // as editors leave it
	parts := []string{"policy", before, text, next.Confirm.String()}
	for _, on := range next.On {
		parts = append(parts, on.Name)
	}
	return Code(parts...)
}

// Code is the short code of what a page has previewed, such as K7QF-2MWD: 40 bits of a hash over the parts. The command
// that the page shows computes it of what it would do, and refuses another one (--code).
func Code(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	text := base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").EncodeToString(h.Sum(nil)[:5])
	return text[:4] + "-" + text[4:]
}
