package skerry

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/operator"
	"github.com/skerry/skerry/rpc"
)

// What keys of their own are derived for from the site's key.
const (
	useLAN     = "lan"     // packets
	useSite    = "site"    // certificates of site connections
	useHello   = "hello"   // proofs on users' connections
	useRelease = "release" // entries of the rule log, where no operators are named
	usePromise = "promise" // promises, likewise
)

// trust is what this process believes others by: the site's keys and the
// operators' public keys, which change while it runs.
type trust struct {
	cluster       string
	mode          string             // KeysNone, KeysCertificates, or "": the keys prove membership
	files         *keyfile.Keys      // nil where the mode needs none
	operators     *keyfile.Operators // nil: the site's key signs what operators do
	operatorsFile string
	ring          *sitekey.Ring // in force
	host          ownHost

	mu     sync.Mutex
	given  []sitekey.Key // lan.key
	stored []sitekey.Key // of the database
}

// newTrust reads the key files. A file that is named and can't be read is an
// error; what goes wrong later leaves the last good keys in force.
func newTrust(c Config) (*trust, error) {
	t := &trust{cluster: c.Cluster, mode: c.Site.KeyMode(), operatorsFile: c.Site.Operators, ring: sitekey.NewRing()}
	if c.Site.Operators != "" {
		var err error
		if t.operators, err = keyfile.OpenOperators(c.Site.Operators); err != nil {
			return nil, fmt.Errorf("site.operators: %w", err)
		}
	}
	if t.mode != "" {
		return t, nil
	}
	if c.LAN.Key != "" {
		key, err := sitekey.Parse(c.LAN.Key)
		if err != nil {
			return nil, fmt.Errorf("lan.key: %w", err)
		}
		t.given = []sitekey.Key{key}
		t.renew()
		return t, nil
	}
	var err error
	if t.files, err = keyfile.OpenKeys(c.Cluster, c.Site.Keys); err != nil {
		return nil, fmt.Errorf("site.keys: %w", err)
	}
	t.renew()
	return t, nil
}

// renew puts the keys in force that are there now: those of files, else the
// one of the configuration, else those of the database.
func (t *trust) renew() {
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

// store takes the keys that the database holds, or that an earlier run has
// read there.
func (t *trust) store(texts []string) error {
	if t.mode != "" {
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

// newKey makes the key that a database without any is given: the one of this
// process, where it has one. nil: this site needs none.
func (t *trust) newKey() func() string {
	if t.mode != "" {
		return nil
	}
	return func() string {
		if k, ok := t.ring.Signer(); ok {
			return k.Text()
		}
		return sitekey.New().Text()
	}
}

// storeKeys takes the site's keys from the database, and keeps them for a start
// while it is away.
func (n *Node) storeKeys(texts []string) {
	if err := n.trust.store(texts); err != nil {
		n.log.Error("the site's keys in the database are not used", "err", err)
		return
	}
	if n.trust.mode != "" {
		return
	}
	if err := n.files.Write(state.Keys, texts); err != nil {
		n.log.Warn("the site's keys are not kept: a start without the database will find no other process", "err", err)
	}
}

// loadKeys takes the keys that an earlier run has read in the database.
func (n *Node) loadKeys() {
	if n.mode() == config.ModeBroadcast {
		return
	}
	texts, err := state.Read[[]string](n.files, state.Keys)
	if err == nil {
		err = n.trust.store(texts)
	}
	if err != nil {
		n.log.Warn("the kept keys of the site can't be read; the database tells them again", "err", err)
	}
}

const operatorsKeys = "operators' keys"

// watchKeys follows the files.
func (n *Node) watchKeys(ctx context.Context) error {
	t := n.trust
	report := func(what string) func(error) {
		return func(err error) {
			switch {
			case err == nil:
				n.log.Info("the " + what + " can be read again, and are in force")
			case what == operatorsKeys && keyfile.Nobody(err):
				n.log.Error("the file of operators names nobody any more: no step of a release is obeyed here until it does", "err", err)
			default:
				n.log.Error("the "+what+" can't be read; the last good ones stay in force", "err", err)
			}
		}
	}
	if t.operators != nil {
		n.lookout.Go(func(ctx context.Context) error { return t.operators.Run(ctx, report(operatorsKeys)) })
	}
	if t.files == nil {
		return nil
	}
	n.lookout.Go(func(ctx context.Context) error { return t.files.Run(ctx, report("site's keys")) })
	for {
		changed := t.files.Ring().Changed()
		t.renew()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// LANKeys are the keys that packets of the configured site are sealed by, and
// whether the LAN is open to every host: for tools that look at the LAN without
// a node. stored are the keys in the database, which count where no file and
// no configuration has one.
func LANKeys(c Config, stored []string) (keys [][]byte, open bool, err error) {
	t, err := newTrust(c.WithDefaults())
	if err == nil {
		err = t.store(stored)
	}
	if err != nil {
		return nil, false, err
	}
	return t.use(useLAN)(), t.mode == config.KeysNone, nil
}

// use are the keys derived for a use: the first signs, all verify.
func (t *trust) use(name string) func() [][]byte {
	return func() [][]byte {
		keys := t.ring.Keys()
		out := make([][]byte, len(keys))
		for i, k := range keys {
			out[i] = k.Use(name, t.cluster)
		}
		return out
	}
}

// keyless reports whether the process has no key of the site, and may need one.
func (t *trust) keyless() bool { return t.mode == "" && len(t.ring.Keys()) == 0 }

// provable reports whether there is anything to check entries by.
func (t *trust) provable() bool { return t.operators != nil || len(t.ring.Keys()) > 0 }

var (
	errUnsigned = errors.New("it bears no signature")
	errStranger = errors.New("its key is none of the site's")
)

// Signer is rollout.Trust: operators where they are named, else the site's key.
func (t *trust) Signer(p rollout.Purpose, text string, proof rollout.Proof) (string, error) {
	switch {
	case !t.provable():
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
		if hmac.Equal(proof.Signature, siteMAC(k, t.cluster, p, text)) {
			return "the site's key " + k.Fingerprint(), nil
		}
	}
	return "", errStranger
}

func (t *trust) operator(p rollout.Purpose, text string, proof rollout.Proof) (string, error) {
	if proof.Kind != rollout.SSHProof {
		return "", fmt.Errorf("it is signed by the site's key, and this process obeys operators' keys only: " +
			"name site.operators in the configuration of the command, and sign with one of their keys")
	}
	key, err := sshsig.Verify(proof.Signature, string(p), []byte(text))
	if err != nil {
		return "", err
	}
	// Whose key may release may ask for promises.
	name, known := t.operators.Trusted().Find(key, string(rollout.ForRelease))
	if !known {
		if len(t.operators.Trusted().List()) == 0 {
			return "", fmt.Errorf("the file of operators of this host (%s) names nobody, so nobody may release: bring it back from another host",
				t.operatorsFile)
		}
		return "", fmt.Errorf("key %s may not release by this host's file of operators; if it should: give this host the file "+
			"of the other hosts, or add the key (skerry operator add)", key.Fingerprint())
	}
	return name, nil
}

func siteMAC(k sitekey.Key, cluster string, p rollout.Purpose, text string) []byte {
	use := useRelease
	if p == rollout.ForPromise {
		use = usePromise
	}
	h := hmac.New(sha256.New, k.Use(use, cluster))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// siteSigner signs by the site's key where operators' keys do not.
type siteSigner struct{ t *trust }

func (t *trust) siteSigner() operator.Signer {
	if t.operators != nil {
		return unnamed{}
	}
	return siteSigner{t}
}

// Sign is operator.Signer.
func (s siteSigner) Sign(p rollout.Purpose, text string) (rollout.Proof, error) {
	keys := s.t.ring.Keys()
	if len(keys) == 0 {
		return rollout.Proof{}, nil // without keys nothing needs to be signed
	}
	return rollout.Proof{Kind: rollout.SiteProof, Signature: siteMAC(keys[0], s.t.cluster, p, text)}, nil
}

// unnamed is the signer of a command that has no operator's key.
type unnamed struct{}

// Sign is operator.Signer.
func (unnamed) Sign(rollout.Purpose, string) (rollout.Proof, error) {
	return rollout.Proof{}, errors.New("site.operators names who may release here: give your key by --key FILE, or load it into ssh-agent")
}

// isMember says what a peer without a site connection lacks to count as a
// process of the site; nil: nothing.
func (t *trust) isMember(p rpc.PeerInfo) error {
	switch {
	case t.mode == config.KeysNone:
		return nil
	case t.mode == config.KeysCertificates && p.Certificate != nil:
		return nil
	case t.mode == config.KeysCertificates:
		return errors.New("it takes a certificate of tls.ca")
	case !t.keyless():
		return errors.New("it takes a site connection by the site's key: store that on the other host with skerry key set")
	case t.host.has(p.Addr, time.Now()):
		return nil
	}
	return fmt.Errorf("this process has no key of the site, so it believes its own host only: make one with "+
		"skerry key new --cluster %s, and store it on every host with skerry key set --cluster %[1]s", t.cluster)
}

// ownHost knows the addresses of this host. A connection that stands from one
// of them has begun here: the kernel lets no packet in that claims to.
type ownHost struct {
	mu    sync.Mutex
	at    time.Time
	addrs []netip.Addr
}

const hostAgain = 2 * time.Second // between two looks at the interfaces

func (h *ownHost) has(a netip.AddrPort, now time.Time) bool {
	ip := a.Addr().Unmap()
	if !a.IsValid() || ip.IsLoopback() {
		return true // not by IP, or by loopback
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.IsZero() || now.Sub(h.at) > hostAgain {
		h.at, h.addrs = now, h.addrs[:0]
		list, _ := net.InterfaceAddrs() // without them the next look may find some
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok {
				if own, ok := netip.AddrFromSlice(n.IP); ok {
					h.addrs = append(h.addrs, own.Unmap())
				}
			}
		}
	}
	return slices.Contains(h.addrs, ip.WithZone(""))
}

// fromMember reports whether the call of a handler's context has come from a
// process of the site.
func fromMember(ctx context.Context) bool {
	info := rpc.CallInfoFrom(ctx)
	if info == nil {
		return true // by a function call
	}
	p := info.From()
	return p.Site || p.Member
}

// denials counts what other processes have asked for and did not get, as it
// takes a proof that they did not have, and says each kind once a minute.
type denials struct {
	log *slog.Logger

	mu    sync.Mutex
	count map[string]int64
	said  map[string]time.Time
}

const denialsEvery = time.Minute

func (r *denials) say(ctx context.Context, what string, err error) {
	from := callerOf(ctx)
	peer := strings.TrimSpace(from.Addr.String() + " " + from.Owner)
	now := time.Now()
	r.mu.Lock()
	if r.count == nil {
		r.count, r.said = map[string]int64{}, map[string]time.Time{}
	}
	r.count[what]++
	count, last := r.count[what], r.said[what]
	due := last.IsZero() || now.Sub(last) >= denialsEvery
	if due {
		r.said[what] = now
	}
	r.mu.Unlock()
	if due {
		r.log.Warn("a process has asked for what it may not, and was refused", "what", what, "peer", peer, "reason", err, "refused", count)
	}
}

// bucket bounds how often something is done in a second.
type bucket struct {
	rate, burst float64

	mu   sync.Mutex
	left float64
	last time.Time
}

func newBucket(rate, burst float64) *bucket { return &bucket{rate: rate, burst: burst, left: burst} }

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.left = min(b.burst, b.left+b.rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// fingerprints are those of the site's keys in force, for status and doctor.
func (t *trust) fingerprints() []string {
	var out []string
	for _, k := range t.ring.Keys() {
		out = append(out, k.Fingerprint())
	}
	return slices.Clip(out)
}

// callerOf is the other end of the call of a handler's context; its zero value
// is a function call.
func callerOf(ctx context.Context) rpc.PeerInfo {
	if info := rpc.CallInfoFrom(ctx); info != nil {
		return info.From()
	}
	return rpc.PeerInfo{}
}
