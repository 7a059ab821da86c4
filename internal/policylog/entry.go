package policylog

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/skerry/skerry/internal/rollout"
)

// Purpose is what an entry is signed for: the namespace of an SSH signature.
const Purpose rollout.Purpose = "skerry-policy"

// Entry is one change of the site's policy.
type Entry struct {
	Cluster  string        `json:"cluster"`
	Number   uint64        `json:"number"`
	Previous string        `json:"previous"`           // hash of the entry that it was made on; "" for the first
	Needs    []string      `json:"needs,omitempty"`    // what a reader must know to obey it
	By       string        `json:"by,omitempty"`       // the operator by its own account; the proof names the signer
	At       time.Time     `json:"at,omitzero"`        // by the writer's clock; for display only
	Why      string        `json:"why,omitempty"`      // one line
	Origin   string        `json:"origin,omitempty"`   // cli, console, plan, undo, confirm
	On       []On          `json:"on,omitempty"`       // plans that are switched on
	Confirm  time.Duration `json:"confirm,omitempty"`  // ns; it goes back by itself unless an entry follows by then
	Undoes   uint64        `json:"undoes,omitempty"`   // number of the entry whose text came back
	Although []string      `json:"although,omitempty"` // processes that can't obey it, which the operator accepted

	// Replies are the replies of fallbacks as Thrift, made by .thrift files; see sitepolicy.ReplyID.
	Replies map[string][]byte `json:"replies,omitempty"`

	Text string `json:"-"` // of the policy, as it was written

	body   string // "" until it is sealed or was read
	hash   string
	proofs []rollout.Proof
}

// On is a plan that is switched on; see policy.On.
type On struct {
	Name  string        `json:"name"`
	For   time.Duration `json:"for,omitempty"`   // ns; 0: until it is switched off
	Since uint64        `json:"since,omitempty"` // number of the entry that switched it on
}

// Limits of an entry.
const (
	maxText   = 512 << 10 // as form.MaxText
	maxHeader = 64 << 10
	maxProofs = 8
	maxProof  = 8 << 10
	maxNumber = 1 << 53
	maxJump   = 1 << 20 // above the newest number that a log holds
)

const bodyFormat = "skerry-policy 1\n"

// knownNeeds are the values of Entry.Needs that this version of skerry understands.
var knownNeeds []string

// Errors of entries.
var (
	// ErrEntry: the bytes do not form a valid entry.
	ErrEntry = errors.New("malformed entry of the policy log")
	// ErrForeign: the entry belongs to the log of another cluster.
	ErrForeign = errors.New("the entry of the policy log is of another cluster")
	// ErrStale: the change was made on an entry that is not the newest any more. Look at what has changed since, and
	// make it again.
	ErrStale = errors.New("the policy has changed since")
)

// Body returns the bytes that are hashed and signed: the line "skerry-policy 1", a line of JSON, and the text.
func (e Entry) Body() string {
	if e.body != "" {
		return e.body
	}
	header, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return bodyFormat + string(header) + "\n" + e.Text
}

// Hash returns SHA-256 of the body in hex.
func (e Entry) Hash() string {
	if e.hash != "" {
		return e.hash
	}
	sum := sha256.Sum256([]byte(e.Body()))
	return hex.EncodeToString(sum[:])
}

// String is the entry for a person: its number and the beginning of its hash.
func (e Entry) String() string { return fmt.Sprintf("%d (%.8s)", e.Number, e.Hash()) }

// Seal fixes the bytes of a new entry.
func (e Entry) Seal() (Entry, error) {
	for _, text := range append([]string{e.Cluster, e.By, e.Why, e.Origin, e.Text}, e.Although...) {
		if !utf8.ValidString(text) {
			return e, fmt.Errorf("%w: %.40q is no UTF-8 text", ErrEntry, text)
		}
	}
	e.body, e.hash = "", ""
	return Record{Body: e.Body()}.Open()
}

// WithProof returns the entry with one more proof.
func (e Entry) WithProof(p rollout.Proof) Entry {
	e.body, e.hash = e.Body(), e.Hash()
	e.proofs = append(slices.Clone(e.proofs), p)
	return e
}

// SignedBy returns the operator that signed the entry, by the keys that t trusts now.
func (e Entry) SignedBy(t rollout.Trust) (string, error) {
	return rollout.CheckProofs(t, Purpose, e.Body(), e.proofs, nil)
}

// Record returns the entry as it is stored and sent.
func (e Entry) Record() Record { return Record{Body: e.Body(), Proofs: e.proofs} }

// compare orders entries: the one that wins is the greater one.
func (e Entry) compare(o Entry) int {
	return cmp.Or(cmp.Compare(e.Number, o.Number), strings.Compare(e.Hash(), o.Hash()))
}

// UnknownNeeds returns the entry's needs that this version does not understand.
func (e Entry) UnknownNeeds() []string {
	return slices.DeleteFunc(slices.Clone(e.Needs), func(n string) bool { return slices.Contains(knownNeeds, n) })
}

// Record is the form in which an entry is stored and sent: the bytes of its writer, and the proofs of them.
type Record struct {
	Body   string
	Proofs []rollout.Proof
}

// maxRecord is the size limit of a record, in bytes.
const maxRecord = maxText + maxHeader + maxProofs*(maxProof*4/3+128) + 128

// Marshal returns the record as bytes, for files, tables and the wire: a line of JSON with the proofs, and the body.
func (r Record) Marshal() []byte {
	proofs, err := json.Marshal(r.Proofs)
	if err != nil {
		panic(err) // bytes and numbers only
	}
	return append(append(proofs, '\n'), r.Body...)
}

// ParseRecord reads what Marshal wrote. Its errors wrap ErrEntry.
func ParseRecord(b []byte) (r Record, err error) {
	if len(b) > maxRecord {
		return r, fmt.Errorf("%w: %d bytes, at most %d are read", ErrEntry, len(b), maxRecord)
	}
	proofs, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return r, fmt.Errorf("%w: it has no body", ErrEntry)
	}
	if err := json.Unmarshal(proofs, &r.Proofs); err != nil {
		return r, fmt.Errorf("%w: its proofs: %w", ErrEntry, err)
	}
	r.Body = string(body)
	return r, nil
}

// Open reads the entry. Its errors wrap ErrEntry.
func (r Record) Open() (e Entry, err error) {
	rest, known := strings.CutPrefix(r.Body, bodyFormat)
	header, text, cut := strings.Cut(rest, "\n")
	switch {
	case !known:
		first, _, _ := strings.Cut(r.Body[:min(len(r.Body), 64)], "\n")
		return e, fmt.Errorf("%w: it begins with %q, this version of skerry reads %q", ErrEntry, first,
			strings.TrimSpace(bodyFormat))
	case !cut || len(header) > maxHeader:
		return e, fmt.Errorf("%w: its head has %d bytes, at most %d are read", ErrEntry, len(header), maxHeader)
	case len(text) > maxText:
		return e, fmt.Errorf("%w: its text has %d bytes, at most %d are kept", ErrEntry, len(text), maxText)
	case len(r.Proofs) > maxProofs:
		return e, fmt.Errorf("%w: %d proofs, at most %d are kept", ErrEntry, len(r.Proofs), maxProofs)
	case slices.ContainsFunc(r.Proofs, func(p rollout.Proof) bool { return len(p.Signature)+len(p.Key) > maxProof }):
		return e, fmt.Errorf("%w: a proof is longer than the %d bytes that are kept", ErrEntry, maxProof)
	case !utf8.ValidString(r.Body):
		return e, fmt.Errorf("%w: it is no UTF-8 text", ErrEntry)
	}
	if err := json.Unmarshal([]byte(header), &e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	if e.Number == 0 || e.Number >= maxNumber || e.Confirm < 0 {
		return Entry{}, fmt.Errorf("%w: number %d, confirm %v", ErrEntry, e.Number, e.Confirm)
	}
	sum := sha256.Sum256([]byte(r.Body))
	e.Text = text
	e.body = r.Body
	e.hash = hex.EncodeToString(sum[:])
	e.proofs = r.Proofs
	return e, nil
}

// Store keeps entries where one place orders them. It believes its writers: a reader of an entry checks its proofs.
type Store interface {
	// Entries returns the newest entries, the winning one first: as many as a Log holds.
	Entries(ctx context.Context) ([]Stored, error)
	// Append adds an entry that was made on the newest one, or returns ErrStale. Appending the newest entry again
	// changes nothing and succeeds.
	Append(ctx context.Context, e Entry) error
	// Merge adds entries that were written elsewhere, such as on the LAN while the store was away.
	Merge(ctx context.Context, entries ...Entry) error
}

// Stored is an entry as a store keeps it.
type Stored struct {
	Entry
	Age time.Duration // since it was written there, by the store's own clock; never negative
}

// Follows returns ErrStale unless the entry was made on newest, which is the zero Entry for an empty log.
func (e Entry) Follows(newest Entry) error {
	previous := ""
	if newest.Number > 0 {
		previous = newest.Hash()
	}
	if e.Number == newest.Number+1 && e.Previous == previous {
		return nil
	}
	by := ""
	if newest.By != "" {
		by = " of " + newest.By
	}
	return fmt.Errorf("the change was made on number %d, the newest is %d%s: %w",
		e.Number-1, newest.Number, by, ErrStale)
}
