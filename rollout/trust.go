package rollout

import (
	"errors"
	"fmt"
)

// Purpose is what words are signed for: a signature for one purpose is worth
// nothing for another. It is the namespace of an SSH signature.
type Purpose string

// The purposes of this package.
const (
	ForRelease Purpose = "skerry-release" // the body of an entry: it is committed
	ForPromise Purpose = "skerry-promise" // Words: a process is to promise, to take back, to bar
)

// Trust is whom a process believes. It is asked again each time: what it
// trusts may change while the process runs. It is safe for concurrent use.
type Trust interface {
	// Signer names the one whose key has made the proof of the text for the
	// purpose; an error when it is no key that is trusted now for that, or the
	// proof of another text. The zero Proof is that of words without any.
	Signer(p Purpose, text string, proof Proof) (name string, err error)
}

// Everything is the Trust of a site that has no keys: any entry that continues
// the log is obeyed.
type Everything struct{}

// Signer believes it.
func (Everything) Signer(Purpose, string, Proof) (string, error) { return "unproven", nil }

// Signer makes proofs for an operator's command.
type Signer interface {
	Sign(p Purpose, text string) (Proof, error)
}

// Verbs of what a process is asked before a commit.
const (
	VerbPromise = "promise"
	VerbAbandon = "abandon"
	VerbBar     = "bar"
)

// Words are the text by which an operator's command asks a process to promise
// an entry, to take a promise back, or to bar it. command is the command's
// random id, so that nobody else can take back what it has asked for.
func Words(verb, hash, command string) string {
	return fmt.Sprintf("skerry-promise 1\n%s\n%s\n%s\n", verb, hash, command)
}

// Undertaking is a promise to one operator's command.
type Undertaking struct {
	Command string `json:"command"` // its random id
	Proof   Proof  `json:"proof"`   // of Words
}

// ErrUnproven: no key that is trusted here has signed it.
var ErrUnproven = errors.New("no operator that is trusted here has signed it")

var errBare = fmt.Errorf("%w: it bears no signature", ErrUnproven)

// CheckProofs names the signer of a text by the first proof that holds; afford
// is asked before each is checked, nil affords all.
func CheckProofs(t Trust, p Purpose, text string, proofs []Proof, afford func() bool) (string, error) {
	if len(proofs) == 0 { // where no keys are, nothing needs to be signed
		if name, err := t.Signer(p, text, Proof{}); err == nil {
			return name, nil
		}
		return "", errBare
	}
	why := error(nil)
	for _, proof := range proofs[:min(len(proofs), maxProofs)] {
		if afford != nil && !afford() {
			return "", errors.Join(why, ErrBusy)
		}
		name, err := t.Signer(p, text, proof)
		if err == nil {
			return name, nil
		}
		why = errors.Join(why, err)
	}
	return "", fmt.Errorf("%w: %w", ErrUnproven, why)
}

// SignedBy names the operator whose key has signed the entry, by what is
// trusted now.
func (e Entry) SignedBy(t Trust) (string, error) {
	return CheckProofs(t, ForRelease, e.Body(), e.proofs, nil)
}

// Vouched is the number of entries, oldest first, up to the newest that is
// signed by a key that t trusts now: older ones are vouched for by the chain
// that it closes. err says what is wrong with the newest when it is not all.
// afford is asked before each signature is checked; nil affords all.
func Vouched(t Trust, entries []Entry, afford func() bool) (n int, err error) {
	for n = len(entries); n > 0; n-- {
		_, failed := CheckProofs(t, ForRelease, entries[n-1].Body(), entries[n-1].proofs, afford)
		if failed == nil {
			return n, err
		}
		if err == nil {
			err = fmt.Errorf("generation %v: %w", entries[n-1].Generation, failed)
		}
		if errors.Is(failed, ErrBusy) {
			return 0, errors.Join(err, ErrBusy)
		}
	}
	return 0, err
}

// ErrBusy: more signatures are to be checked than can be afforded now.
var ErrBusy = errors.New("too many signatures are to be checked now; bring them again")
