package trust

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

// Uses for which keys are derived from the site's key.
const (
	LAN   = "lan"   // packets
	Site  = "site"  // certificates of site connections
	Hello = "hello" // proofs on users' connections
)

// purposes begins the name of each rollout.Purpose. The rest of the name is the use of the key that
// signs for the purpose where no operators are named: release, promise, policy, drain.
const purposes = "skerry-"

// forPolicy is policylog.Purpose.
const forPolicy = rollout.Purpose(sshsig.Policy)

// Modes without the site's keys, in the spelling of site.keys.
const (
	Open         = "none"         // every caller counts as a process of the site
	Certificates = "certificates" // callers with a certificate of tls.ca count
)

// Config configures a Trust.
type Config struct {
	Cluster   string
	Mode      string   // Open, Certificates, or "": the site's keys prove membership
	KeyFiles  []string // of site.keys; none means the default places
	Key       string   // lan.key, instead of files
	Operators string   // the file of operators, "" for none
}

// Trust holds the site's keys and the operators' public keys, which change while the process runs.
type Trust struct {
	cfg       Config
	files     *keyfile.Keys      // nil in modes without keys
	operators *keyfile.Operators // nil: the site's key signs instead of operators
	ring      *sitekey.Ring      // in force
	host      ownHost

	mu     sync.Mutex
	given  []sitekey.Key // lan.key
	stored []sitekey.Key // of the database
}

// New reads the key files. A named file that can't be read is an error. After a later failure the
// last good keys stay in force.
func New(c Config) (*Trust, error) {
	t := &Trust{cfg: c, ring: sitekey.NewRing()}
	if c.Operators != "" {
		var err error
		if t.operators, err = keyfile.OpenOperators(c.Operators); err != nil {
			return nil, fmt.Errorf("site.operators: %w", err)
		}
	}
	if err := t.openKeys(); err != nil {
		return nil, err
	}
	t.renew()
	return t, nil
}

func (t *Trust) openKeys() (err error) {
	switch {
	case t.cfg.Mode != "":
		return nil
	case t.cfg.Key != "":
		key, err := sitekey.Parse(t.cfg.Key)
		if err != nil {
			return fmt.Errorf("lan.key: %w", err)
		}
		t.given = []sitekey.Key{key}
		return nil
	}
	if t.files, err = keyfile.OpenKeys(t.cfg.Cluster, t.cfg.KeyFiles); err != nil {
		return fmt.Errorf("site.keys: %w", err)
	}
	return nil
}

// Mode is the configured mode: Open, Certificates, or "" for the site's keys.
func (t *Trust) Mode() string { return t.cfg.Mode }

// Changed returns a channel that is closed when other keys are in force.
func (t *Trust) Changed() <-chan struct{} { return t.ring.Changed() }

// renew puts the current keys in force: those of files, else the one of the configuration, else
// those of the database.
func (t *Trust) renew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := t.given
	if t.files != nil {
		keys = t.files.Ring().Keys()
	}
	if len(keys) == 0 {
		keys = t.stored
	}
	t.ring.Set(keys)
}

// Store sets the keys that the database holds, or that an earlier run has read there.
func (t *Trust) Store(texts []string) error {
	if t.cfg.Mode != "" {
		return nil
	}
	var keys []sitekey.Key
	for _, text := range texts {
		k, err := sitekey.Parse(text)
		if err != nil {
			return fmt.Errorf("a key of the database is none: %w", err)
		}
		keys = append(keys, k)
	}
	t.mu.Lock()
	t.stored = keys
	t.mu.Unlock()
	t.renew()
	return nil
}

// NewKey makes the first key of a database: this process's key, if it has one. It is nil for a site
// that needs no key.
func (t *Trust) NewKey() func() string {
	if t.cfg.Mode != "" {
		return nil
	}
	return func() string {
		if k, ok := t.ring.Signer(); ok {
			return k.Text()
		}
		return sitekey.New().Text()
	}
}

// Use are the keys derived for a use: the first signs, all verify.
func (t *Trust) Use(name string) func() [][]byte {
	return func() [][]byte {
		keys := t.ring.Keys()
		out := make([][]byte, len(keys))
		for i, k := range keys {
			out[i] = k.Use(name, t.cfg.Cluster)
		}
		return out
	}
}

// Keyless reports whether the process has no key of the site, and may need one.
func (t *Trust) Keyless() bool { return t.cfg.Mode == "" && len(t.ring.Keys()) == 0 }

// NamesOperators reports whether operators' keys decide, and not the site's.
func (t *Trust) NamesOperators() bool { return t.operators != nil }

// Provable reports whether the process has keys to check entries.
func (t *Trust) Provable() bool { return t.operators != nil || len(t.ring.Keys()) > 0 }

var (
	errUnsigned = errors.New("it bears no signature")
	errStranger = errors.New("its key is none of the site's")
)

// Signer implements rollout.Trust: the operators sign if they are named, else the site's key.
func (t *Trust) Signer(p rollout.Purpose, text string, proof rollout.Proof) (string, error) {
	switch {
	case !t.Provable():
		return "unproven", nil
	case proof.Kind == 0 && len(proof.Signature) == 0:
		return "", errUnsigned
	case t.operators != nil:
		return t.operator(p, text, proof)
	case proof.Kind != rollout.SiteProof:
		return "", fmt.Errorf("it is signed by an operator's key, and this process knows no operators: " +
			"name their file in site.operators, on every host")
	}
	for _, k := range t.ring.Keys() {
		if hmac.Equal(proof.Signature, siteMAC(k, t.cfg.Cluster, p, text)) {
			return "the site's key " + k.Fingerprint(), nil
		}
	}
	return "", errStranger
}

func (t *Trust) operator(p rollout.Purpose, text string, proof rollout.Proof) (string, error) {
	if proof.Kind != rollout.SSHProof {
		return "", fmt.Errorf("it is signed by the site's key, and this process obeys operators' keys only: " +
			"name site.operators in the configuration of the command, and sign with one of their keys")
	}
	key, err := sshsig.Verify(proof.Signature, string(p), []byte(text))
	if err != nil {
		return "", err
	}
	// A key for releases may also ask for promises, and drain.
	namespace, may := string(rollout.ForRelease), "release"
	if p == forPolicy {
		namespace, may = sshsig.Policy, "change the policy"
	}
	name, known := t.operators.Trusted().Find(key, namespace)
	if !known {
		if len(t.operators.Trusted().List()) == 0 {
			return "", fmt.Errorf("the file of operators of this host (%s) names no operator, so no operator may "+
				"%s: bring it back from another host", t.cfg.Operators, may)
		}
		return "", fmt.Errorf("key %s may not %s by this host's file of operators; if it should: give this "+
			"host the file of the other hosts, or add the key (skerry operator add)", key.Fingerprint(), may)
	}
	return name, nil
}

func siteMAC(k sitekey.Key, cluster string, p rollout.Purpose, text string) []byte {
	h := hmac.New(sha256.New, k.Use(strings.TrimPrefix(string(p), purposes), cluster))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Signer makes proofs with a key.
type Signer interface {
	Sign(p rollout.Purpose, text string) (rollout.Proof, error)
}

// siteSigner signs by the site's key.
type siteSigner struct{ t *Trust }

// SiteSigner signs by the site's key instead of an operator. If operators' keys are named it
// refuses with an error.
func (t *Trust) SiteSigner() Signer {
	if t.operators != nil {
		return unnamed{}
	}
	return siteSigner{t}
}

// Sign implements Signer.
func (s siteSigner) Sign(p rollout.Purpose, text string) (rollout.Proof, error) {
	keys := s.t.ring.Keys()
	if len(keys) == 0 {
		return rollout.Proof{}, nil // without keys no signature is needed
	}
	return rollout.Proof{Kind: rollout.SiteProof, Signature: siteMAC(keys[0], s.t.cfg.Cluster, p, text)}, nil
}

// unnamed is the signer of a command without an operator's key.
type unnamed struct{}

// Sign implements Signer.
func (unnamed) Sign(rollout.Purpose, string) (rollout.Proof, error) {
	return rollout.Proof{}, errors.New("site.operators names the operators that may release here: give your key by " +
		"--key FILE, or load it into ssh-agent")
}

// Fingerprints are the fingerprints of the site's keys in force, for status and doctor.
func (t *Trust) Fingerprints() []string {
	var out []string
	for _, k := range t.ring.Keys() {
		out = append(out, k.Fingerprint())
	}
	return slices.Clip(out)
}
