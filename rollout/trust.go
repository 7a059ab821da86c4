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
	ForPromise Purpose = "skerry-promise" // a process is to promise, to take a promise back, or never to promise
)

// Trust says whose signatures count in a process. It is asked again each time:
// what it trusts may change while the process runs. It is safe for concurrent
// use. A nil Trust, of a site that has no keys, obeys any entry that continues
// the log.
type Trust interface {
	// Signer names the operator whose key has made the proof of the text for the
	// purpose. It fails when no key that is trusted now has made it, and when the
	// proof is of another text. The zero Proof stands for a text without proof.
	Signer(p Purpose, text string, proof Proof) (name string, err error)
}

// everything is the Trust of a site that has no keys, and what a nil Trust
// stands for: any entry that continues the log is obeyed.
type everything struct{}

// Signer believes it.
func (everything) Signer(Purpose, string, Proof) (string, error) { return "unproven", nil }

// PromiseText is what an operator's command signs to ask a process to promise
// the entry. command is the command's random id, so that no other command can
// take back what this one has asked for.
func (e Entry) PromiseText(command string) string { return e.promiseText("promise", command) }

// AbandonText is the same to take a promise back.
func (e Entry) AbandonText(command string) string { return e.promiseText("abandon", command) }

// RejectText is the same to have a process never promise the entry.
func (e Entry) RejectText(command string) string { return e.promiseText("bar", command) }

func (e Entry) promiseText(verb, command string) string {
	return fmt.Sprintf("skerry-promise 1\n%s\n%s\n%s\n", verb, e.Hash(), command)
}

// Undertaking is a promise to one operator's command.
type Undertaking struct {
	Command string `json:"command"` // its random id
	Proof   Proof  `json:"proof"`   // of Entry.PromiseText, AbandonText or RejectText
}

// SignedBy names the operator whose key has signed the text, by what is trusted
// now.
func (u Undertaking) SignedBy(t Trust, text string) (string, error) {
	return checkProofs(t, ForPromise, text, []Proof{u.Proof}, nil)
}

// ErrDatabaseKept: some processes keep the log in a database, and the command would
// have it in the processes.
var ErrDatabaseKept = errors.New("releases of this site are made by its database: use a configuration that names it")

// ErrUnproven: no key that is trusted here has signed it.
var ErrUnproven = errors.New("no operator that is trusted here has signed it")

var errBare = fmt.Errorf("%w: it bears no signature", ErrUnproven)

// checkProofs names the signer of a text by the first proof that holds; afford
// is asked before each is checked, nil affords all.
func checkProofs(t Trust, p Purpose, text string, proofs []Proof, afford func() bool) (string, error) {
	if t == nil {
		t = everything{}
	}
	if len(proofs) == 0 { // where no keys are, nothing needs to be signed
		if name, err := t.Signer(p, text, Proof{}); err == nil {
			return name, nil
		}
		return "", errBare
	}
	why := error(nil)
	for _, proof := range proofs[:min(len(proofs), maxProofs)] {
		if afford != nil && !afford() {
			return "", errors.Join(why, errBusy)
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
	return checkProofs(t, ForRelease, e.Body(), e.proofs, nil)
}

// Vouched is the number of entries, oldest first, up to the newest that is
// signed by a key that t trusts now: older ones are vouched for by the chain
// that it closes. err says what is wrong with the newest when it is not all.
// afford is asked before each signature is checked; nil affords all.
func Vouched(t Trust, entries []Entry, afford func() bool) (n int, err error) {
	for n = len(entries); n > 0; n-- {
		_, failed := checkProofs(t, ForRelease, entries[n-1].Body(), entries[n-1].proofs, afford)
		if failed == nil {
			return n, err
		}
		if err == nil {
			err = fmt.Errorf("generation %v: %w", entries[n-1].Generation, failed)
		}
		if errors.Is(failed, errBusy) {
			return 0, errors.Join(err, errBusy)
		}
	}
	return 0, err
}

// errBusy: more signatures are to be checked than can be afforded now.
var errBusy = errors.New("too many signatures are to be checked now; bring them again")
