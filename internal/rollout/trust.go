package rollout

import (
	"errors"
	"fmt"
)

// Purpose is what a signature is for. A signature for one purpose is invalid for
// any other. In an SSH signature it is the namespace.
type Purpose string

// The purposes of this package.
const (
	ForRelease Purpose = "skerry-release" // commits an entry; signs its body
	ForPromise Purpose = "skerry-promise" // asks a process to promise, to take a promise back, or never to promise
)

// Trust decides which signatures count in a process. The answer may change
// while the process runs, so callers ask again each time. It is safe for
// concurrent use. A nil Trust is for a site without keys: any entry that
// continues the log is obeyed.
type Trust interface {
	// Signer returns the operator that made the proof of the text for the
	// purpose. It fails when no key that is trusted now made it, or when the
	// proof is of another text. The zero Proof stands for a text without proof.
	Signer(p Purpose, text string, proof Proof) (name string, err error)
}

// trustAll replaces a nil Trust. It is the Trust of a site without keys: any
// entry that continues the log is obeyed.
type trustAll struct{}

// Signer accepts every text.
func (trustAll) Signer(Purpose, string, Proof) (string, error) { return "unproven", nil }

// PromiseText is the text that an operator's command signs to ask a process to
// promise the entry. command is the random id of that command, so that no other
// command can take the promise back.
func (e Entry) PromiseText(command string) string { return e.promiseText("promise", command) }

// AbandonText is the text that asks a process to take its promise back.
func (e Entry) AbandonText(command string) string { return e.promiseText("abandon", command) }

// RejectText is the text that asks a process never to promise the entry.
func (e Entry) RejectText(command string) string { return e.promiseText("bar", command) }

func (e Entry) promiseText(verb, command string) string {
	return fmt.Sprintf("skerry-promise 1\n%s\n%s\n%s\n", verb, e.Hash(), command)
}

// Undertaking is the signed request of one operator's command to a process: to
// promise an entry, to take the promise back, or never to promise it.
type Undertaking struct {
	Command string `json:"command"` // random id of the command
	Proof   Proof  `json:"proof"`   // proof of Entry.PromiseText, AbandonText or RejectText
}

// SignedBy returns the operator that signed the text, by the keys that t trusts
// now.
func (u Undertaking) SignedBy(t Trust, text string) (string, error) {
	return CheckProofs(t, ForPromise, text, []Proof{u.Proof}, nil)
}

// ErrDatabaseKept: some processes keep the log in a database, but the command
// asks the processes to keep it.
var ErrDatabaseKept = errors.New("releases of this site are made by its database: use a configuration that names it")

// ErrUnproven: no key that is trusted here has signed the text.
var ErrUnproven = errors.New("no operator that is trusted here has signed it")

var errBare = fmt.Errorf("%w: it bears no signature", ErrUnproven)

// CheckProofs returns the signer of a text for a purpose, by the first valid
// proof. afford is called before each check, and refuses it by false; nil allows
// all. The errors wrap ErrUnproven, except after a refusal of afford.
func CheckProofs(t Trust, p Purpose, text string, proofs []Proof, afford func() bool) (string, error) {
	if t == nil {
		t = trustAll{}
	}
	if len(proofs) == 0 { // a Trust without keys accepts the zero Proof
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

// SignedBy returns the operator that signed the entry, by the keys that t
// trusts now.
func (e Entry) SignedBy(t Trust) (string, error) {
	return CheckProofs(t, ForRelease, e.Body(), e.proofs, nil)
}

// Vouched returns how many of the entries, given oldest first, are vouched for.
// The last of these n entries is the newest that a key which t trusts now has
// signed. It vouches for those before it by the chain of hashes. If n is not the
// number of all entries, err says why the newest one is not vouched for. afford
// is called before each check of a signature and prevents it by false; nil
// allows all checks.
func Vouched(t Trust, entries []Entry, afford func() bool) (n int, err error) {
	for n = len(entries); n > 0; n-- {
		_, failed := CheckProofs(t, ForRelease, entries[n-1].Body(), entries[n-1].proofs, afford)
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

// errBusy: afford refused a check of a signature. The caller may try again
// later.
var errBusy = errors.New("too many signatures wait to be checked here; send the entries again later")
