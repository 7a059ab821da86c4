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

// Entry is one step of the rule log. Entries are dense: the number of each is
// one more than that of the entry before, whose hash it names. Cluster,
// timeline, number and parent stand in it, so it fits one place of one log.
//
// An entry that was read keeps the bytes that its writer made, with fields that
// this version of skerry does not know: its hash and its proofs are of those
// bytes, and they are what is kept and passed on. To change its fields then
// changes nothing of that.
type Entry struct {
	Cluster    string          `json:"cluster,omitempty"`
	Generation Generation      `json:"generation"`
	Previous   string          `json:"previous"`          // hash of the entry before; "" for the first
	Needs      []string        `json:"needs,omitempty"`   // what a reader must know, or it applies nothing from here on; see KnownNeeds
	Release    string          `json:"release"`           // name of the session that made it
	By         string          `json:"by,omitempty"`      // the operator, as he calls himself; the proof says who signed
	At         time.Time       `json:"at,omitzero"`       // when, by the writer's clock; for people only
	Step       string          `json:"step,omitempty"`    // what was done, one line: the audit trail
	Session    *Release        `json:"session,omitempty"` // the session after the step; it lives in the log, so any operator can go on
	Rules      map[string]Rule `json:"rules,omitempty"`
	Retire     []Retirement    `json:"retire,omitempty"`

	// Ends are entries of other logs that end with this one: a process whose
	// log ends with one of them takes this entry's log in its place.
	Ends []Position `json:"ends,omitempty"`

	// Acknowledges are earlier entries of this log that an operator has looked
	// at: those that the key of the envelope has signed. It changes no rule.
	Acknowledges []Position `json:"acknowledges,omitempty"`

	body   string // "" until it is sealed or was read
	hash   string
	proofs []Proof
}

// Retirement raises the floor of a version: its instances refuse tokens of
// earlier generations from then on.
type Retirement struct {
	Service string     `json:"service"`
	Version string     `json:"version"`
	Floor   Generation `json:"floor"`
}

// Position is one entry of one log.
type Position struct {
	Generation Generation `json:"generation"`
	Hash       string     `json:"hash"`
}

func (p Position) String() string { return p.Generation.String() + " (" + short(p.Hash) + ")" }

// KnownNeeds are the names that an entry may have in Needs for this version of
// skerry to apply it.
var KnownNeeds = []string{}

// Limits of an entry. Every process keeps the whole log.
const (
	maxEntry  = 256 << 10 // bytes of a body
	maxProofs = 8
	maxProof  = 8 << 10 // bytes of a proof
	maxEnds   = 4096
	maxNumber = 1 << 62 // numbers of generations lie below, so that none overflows
	maxJump   = 1 << 20 // timelines and numbers that one entry may leave out
)

const bodyFormat = "skerry-entry 1\n"

// Errors of entries.
var (
	// ErrNeeds: a reader of this version can't obey the entry; upgrade skerry here first.
	ErrNeeds = errors.New("this version of skerry can't obey the entry")
	// ErrForeign: the entry belongs into the log of another system.
	ErrForeign = errors.New("the entry is of cluster")
	// ErrEntry: the bytes are no entry.
	ErrEntry = errors.New("malformed entry of the rule log")
)

// Body is the entry's bytes, which are hashed and signed: the line
// "skerry-entry 1" and JSON.
func (e Entry) Body() string {
	if e.body != "" {
		return e.body
	}
	b, err := json.Marshal(e) // maps are written in the order of their keys
	if err != nil {
		panic(err) // strings and numbers only
	}
	return bodyFormat + string(b)
}

// Hash identifies the entry and, through Previous, all before it: SHA-256 of
// its body, in hex.
func (e Entry) Hash() string {
	if e.hash != "" {
		return e.hash
	}
	sum := sha256.Sum256([]byte(e.Body()))
	return hex.EncodeToString(sum[:])
}

// Position is where the entry stands.
func (e Entry) Position() Position { return Position{e.Generation, e.Hash()} }

// Proofs say whose word the entry is.
func (e Entry) Proofs() []Proof { return e.proofs }

// Seal fixes the bytes of an entry that is to be written. It refuses what
// would be read otherwise than it was written.
func (e Entry) Seal() (Entry, error) {
	if at := badText(reflect.ValueOf(e), "entry"); at != "" {
		return e, fmt.Errorf("%w: %s is no UTF-8 text", ErrEntry, at)
	}
	e.body, e.hash = "", ""
	return Record{Body: e.Body()}.Open()
}

// WithProof is the entry with one more proof.
func (e Entry) WithProof(p Proof) Entry {
	e.body, e.hash = e.Body(), e.Hash()
	e.proofs = append(slices.Clone(e.proofs), p)
	return e
}

// WithoutProofs is the entry without proofs.
func (e Entry) WithoutProofs() Entry {
	e.body, e.hash, e.proofs = e.Body(), e.Hash(), nil
	return e
}

// Record is the entry as it is kept and sent.
func (e Entry) Record() Record { return Record{Body: e.Body(), Proofs: e.proofs} }

// Record is an entry in the form in which it is kept and sent: the bytes that
// its writer made, and beside them what proves them.
type Record struct {
	Body   string  `json:"body"`
	Proofs []Proof `json:"proofs,omitempty"`
}

// Proof says that one who has a key has spoken certain words.
type Proof struct {
	Kind      int64  `json:"kind"` // SSHProof, SiteProof; others are kept and count for nothing here
	Signature []byte `json:"signature"`
	Key       []byte `json:"key,omitempty"` // that it claims to be made with
}

// Kinds of proofs.
const (
	SSHProof  = 1 // SSHSIG of OpenSSH, by an operator's key; Signature is the blob
	SiteProof = 2 // HMAC-SHA256 by the site's key, where no operators are named
)

// Marshal is the record in bytes, for files, tables and the wire.
func (r Record) Marshal() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // so that no body takes more than twice its length
	if err := enc.Encode(r); err != nil {
		panic(err) // strings and numbers only
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// maxRecord holds every record that can be opened, in bytes.
const maxRecord = 2*maxEntry + maxProofs*(maxProof*4/3+128) + 128

// ParseRecord reads what Marshal wrote.
func ParseRecord(b []byte) (r Record, err error) {
	switch {
	case len(b) > maxRecord:
		return r, fmt.Errorf("%w: %d bytes, at most %d are read", ErrEntry, len(b), maxRecord)
	case !utf8.Valid(b): // it would be read as another text
		return r, fmt.Errorf("%w: it is no UTF-8 text", ErrEntry)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return r, nil
}

// Open reads the entry.
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
		return Entry{}, fmt.Errorf("%w: generation %v, %d ends", ErrEntry, g, len(e.Ends))
	}
	sum := sha256.Sum256([]byte(r.Body))
	e.body, e.hash, e.proofs = r.Body, hex.EncodeToString(sum[:]), r.Proofs
	return e, nil
}

// UnknownNeeds are the needs of the entry that this version does not know.
func (e Entry) UnknownNeeds() []string {
	return slices.DeleteFunc(slices.Clone(e.Needs), func(n string) bool { return slices.Contains(KnownNeeds, n) })
}

// CheckNeeds is an error when the entry needs what this version does not know.
func (e Entry) CheckNeeds() error {
	if lacks := e.UnknownNeeds(); len(lacks) > 0 {
		return fmt.Errorf("generation %v: %w: it needs %q; upgrade skerry here", e.Generation, ErrNeeds, lacks)
	}
	return nil
}

// mark is what a token keeps of a hash: its first four bytes.
func mark(hash string) uint32 {
	var b [4]byte
	if _, err := hex.Decode(b[:], []byte(hash[:min(8, len(hash))])); err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(b[:])
}

// badText names a string within v that is no UTF-8; "" when there is none.
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
