package rollout

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Entry is one step of the rule log. Its number is one above that of the entry
// before, and it names the hash of that entry. Cluster, timeline, number and
// previous hash are part of its text, so an entry fits only one place of one
// log.
//
// An entry that was read keeps the bytes of its writer, including fields that
// this version of skerry does not know. These bytes are hashed and signed, and
// are stored and passed on unchanged. Changing a field of such an entry does not
// change them.
type Entry struct {
	Cluster    string          `json:"cluster,omitempty"`
	Generation Generation      `json:"generation"`
	Previous   string          `json:"previous"`          // hash of the entry before; "" for the first
	Needs      []string        `json:"needs,omitempty"`   // features that readers of this and later entries must know
	Release    string          `json:"release"`           // name of the release
	By         string          `json:"by,omitempty"`      // the operator, as the writer says; a proof names the signer
	At         time.Time       `json:"at,omitzero"`       // by the writer's clock; for display only
	Step       string          `json:"step,omitempty"`    // one line for the audit trail
	Session    *Release        `json:"session,omitempty"` // release after the step; lets any operator continue
	Rules      map[string]Rule `json:"rules,omitempty"`
	Retire     []Retirement    `json:"retire,omitempty"`

	// Ends names the entries of forked logs that this entry gives up. A process
	// that has one of them as its newest entry replaces its log by this one.
	Ends []Position `json:"ends,omitempty"`

	// Acknowledges names earlier entries of this log that the key of the envelope
	// has signed, and that an operator has now reviewed. It changes no rule.
	Acknowledges []Position `json:"acknowledges,omitempty"`

	body   string // "" until it is sealed or was read
	hash   string
	proofs []Proof
}

// Retirement raises the floor of a version: its instances then refuse tokens of
// earlier generations.
type Retirement struct {
	Service string     `json:"service"`
	Version string     `json:"version"`
	Floor   Generation `json:"floor"`
}

// Position identifies one entry of one log.
type Position struct {
	Generation Generation `json:"generation"`
	Hash       string     `json:"hash"`
}

func (p Position) String() string { return p.Generation.String() + " (" + short(p.Hash) + ")" }

// KnownNeeds are the values of Entry.Needs that this version of skerry
// understands.
var KnownNeeds = []string{}

// Limits of an entry, because every process keeps the whole log.
const (
	maxEntry  = 256 << 10 // bytes of a body
	maxProofs = 8
	maxProof  = 8 << 10 // bytes of a proof
	maxEnds   = 4096
	maxNumber = 1 << 62 // generation numbers stay below it, so none overflows
	maxJump   = 1 << 20 // the most timelines or numbers that one entry may skip
)

const bodyFormat = "skerry-entry 1\n"

// Errors of entries.
var (
	// ErrNeeds: this version of skerry can't obey the entry. Upgrade it first.
	ErrNeeds = errors.New("this version of skerry can't obey the entry")
	// ErrForeign: the entry belongs to the log of another cluster. The text of
	// an error goes on with the names of the two clusters.
	ErrForeign = errors.New("the entry is of cluster")
	// ErrEntry: the bytes do not form a valid entry.
	ErrEntry = errors.New("malformed entry of the rule log")
)

// Body returns the bytes that are hashed and signed: the line "skerry-entry 1",
// then JSON.
func (e Entry) Body() string {
	if e.body != "" {
		return e.body
	}
	b, err := json.Marshal(e) // map keys are written in sorted order
	if err != nil {
		panic(err) // strings and numbers only
	}
	return bodyFormat + string(b)
}

// Hash returns the SHA-256 of the body in hex. The body contains Previous, so the
// hash identifies all earlier entries as well.
func (e Entry) Hash() string {
	if e.hash != "" {
		return e.hash
	}
	sum := sha256.Sum256([]byte(e.Body()))
	return hex.EncodeToString(sum[:])
}

// Position returns generation and hash of the entry.
func (e Entry) Position() Position { return Position{e.Generation, e.Hash()} }

// Proofs returns the signatures of the entry.
func (e Entry) Proofs() []Proof { return e.proofs }

// Seal fixes the bytes of a new entry. It returns ErrEntry when these bytes could
// not be read back as the same entry.
func (e Entry) Seal() (Entry, error) {
	if at := badText(reflect.ValueOf(e), "entry"); at != "" {
		return e, fmt.Errorf("%w: %s is no UTF-8 text", ErrEntry, at)
	}
	e.body, e.hash = "", ""
	return Record{Body: e.Body()}.Open()
}

// WithProof returns the entry with one more proof.
func (e Entry) WithProof(p Proof) Entry {
	e.body, e.hash = e.Body(), e.Hash()
	e.proofs = append(slices.Clone(e.proofs), p)
	return e
}

// WithoutProofs returns the entry without proofs.
func (e Entry) WithoutProofs() Entry {
	e.body, e.hash, e.proofs = e.Body(), e.Hash(), nil
	return e
}

// Record returns the entry as it is stored and sent.
func (e Entry) Record() Record { return Record{Body: e.Body(), Proofs: e.proofs} }

// Record is the form in which an entry is stored and sent: the bytes of its
// writer, and the proofs of them.
type Record struct {
	Body   string  `json:"body"`
	Proofs []Proof `json:"proofs,omitempty"`
}

// Proof shows that the holder of a key has signed a text.
type Proof struct {
	Kind      int64  `json:"kind"` // SSHProof or SiteProof; other kinds are stored and prove nothing here
	Signature []byte `json:"signature"`
	Key       []byte `json:"key,omitempty"` // the key that the signer claims to have used
}

// Kinds of proofs.
const (
	SSHProof  = 1 // OpenSSH SSHSIG by an operator's key; Signature is the blob
	SiteProof = 2 // HMAC-SHA256 by the site's key, for sites without operator keys
)

// Marshal returns the record as JSON, for files, tables and the wire.
func (r Record) Marshal() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // so a body grows to at most twice its length
	if err := enc.Encode(r); err != nil {
		panic(err) // strings and numbers only
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// maxRecord is the size limit of a record, in bytes. Every record that Open
// accepts fits.
const maxRecord = 2*maxEntry + maxProofs*(maxProof*4/3+128) + 128

// ParseRecord reads what Marshal wrote. Its errors wrap ErrEntry.
func ParseRecord(b []byte) (r Record, err error) {
	switch {
	case len(b) > maxRecord:
		return r, fmt.Errorf("%w: %d bytes, at most %d are read", ErrEntry, len(b), maxRecord)
	case !utf8.Valid(b): // the JSON reader would replace invalid bytes
		return r, fmt.Errorf("%w: it is no UTF-8 text", ErrEntry)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return r, nil
}

// Open reads the entry. Its errors wrap ErrEntry, or ErrNeeds for an unknown
// format.
func (r Record) Open() (e Entry, err error) {
	text, known := strings.CutPrefix(r.Body, bodyFormat)
	format, _, _ := strings.Cut(r.Body[:min(len(r.Body), 64)], "\n")
	switch {
	case len(r.Body) > maxEntry:
		return e, fmt.Errorf("%w: %d bytes, at most %d are kept", ErrEntry, len(r.Body), maxEntry)
	case len(r.Proofs) > maxProofs:
		return e, fmt.Errorf("%w: %d proofs, at most %d are kept", ErrEntry, len(r.Proofs), maxProofs)
	case slices.ContainsFunc(r.Proofs, func(p Proof) bool { return len(p.Signature)+len(p.Key) > maxProof }):
		return e, fmt.Errorf("%w: a proof is longer than the %d bytes that are kept", ErrEntry, maxProof)
	case !utf8.ValidString(r.Body):
		return e, fmt.Errorf("%w: it is no UTF-8 text", ErrEntry)
	case !known && strings.HasPrefix(format, "skerry-entry "):
		return e, fmt.Errorf("%w: it has the format %q", ErrNeeds, format)
	case !known:
		return e, fmt.Errorf("%w: it begins with %q", ErrEntry, format)
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	g := e.Generation
	if g.N == 0 || g.N >= maxNumber || g.Timeline >= 1<<31 || len(e.Ends) > maxEnds {
		return Entry{}, fmt.Errorf("%w: generation %v is out of range, or ends %d entries, at most %d are allowed",
			ErrEntry, g, len(e.Ends), maxEnds)
	}
	sum := sha256.Sum256([]byte(r.Body))
	e.body = r.Body
	e.hash = hex.EncodeToString(sum[:])
	e.proofs = r.Proofs
	return e, nil
}

// UnknownNeeds returns the entry's needs that this version does not understand.
func (e Entry) UnknownNeeds() []string {
	return slices.DeleteFunc(slices.Clone(e.Needs), func(n string) bool { return slices.Contains(KnownNeeds, n) })
}

// CheckNeeds returns ErrNeeds when this version does not understand a need of
// the entry.
func (e Entry) CheckNeeds() error {
	if lacks := e.UnknownNeeds(); len(lacks) > 0 {
		return fmt.Errorf("generation %v: %w: it needs %q; upgrade skerry here", e.Generation, ErrNeeds, lacks)
	}
	return nil
}

// hashPrefix returns the part of a hash that tokens carry: its first four bytes.
func hashPrefix(hash string) uint32 {
	var b [4]byte
	if _, err := hex.Decode(b[:], []byte(hash[:min(8, len(hash))])); err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(b[:])
}

// badText returns the path of a string within v that is not UTF-8, "" when
// there is none.
func badText(v reflect.Value, at string) string {
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return at
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return badText(v.Elem(), at)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if bad := badText(v.Index(i), at); bad != "" {
				return bad
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if bad := badText(k, at+": a key"); bad != "" {
				return bad
			}
			if bad := badText(v.MapIndex(k), at+"."+k.String()); bad != "" {
				return bad
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				if bad := badText(v.Field(i), at+"."+strings.ToLower(f.Name)); bad != "" {
					return bad
				}
			}
		}
	}
	return ""
}
