package trust

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

const cluster = "cluster-of-this-test"

// withoutPlaces lets the process find no key of this host.
func withoutPlaces(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"CREDENTIALS_DIRECTORY", "XDG_CONFIG_HOME", "HOME"} {
		t.Setenv(name, filepath.Join(dir, name))
	}
}

func open(t *testing.T, c Config) *Trust {
	t.Helper()
	c.Cluster = cluster
	trust, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// writeKeys writes a key file, in place of an earlier one.
func writeKeys(t *testing.T, path string, keys ...sitekey.Key) string {
	t.Helper()
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.Text() + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// operator is an operator of a test, with the private key.
type operator struct {
	name string
	key  ed25519.PrivateKey
}

func newOperator(name string) operator {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return operator{name, ed25519.NewKeyFromSeed(seed)}
}

func (o operator) public() sshsig.PublicKey {
	return sshsig.PublicKey(o.key.Public().(ed25519.PublicKey))
}

func (o operator) sign(t *testing.T, p rollout.Purpose, text string) rollout.Proof {
	t.Helper()
	signature := ed25519.Sign(o.key, sshsig.Signed(string(p), []byte(text)))
	blob, err := sshsig.Blob(o.public(), string(p), signature)
	if err != nil {
		t.Fatal(err)
	}
	return rollout.Proof{Kind: rollout.SSHProof, Signature: blob}
}

// writeOperators writes a file of operators that may release.
func writeOperators(t *testing.T, path string, list ...operator) string {
	t.Helper()
	for _, o := range list {
		err := keyfile.AddOperator(path, sshsig.Operator{
			Name: o.name, Key: o.public(), Namespaces: []string{sshsig.Release},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Keys of files come before lan.key, and that before those of the database.
func TestWhereKeysComeFrom(t *testing.T) {
	withoutPlaces(t)
	file, lan, stored := sitekey.New(), sitekey.New(), sitekey.New()
	path := writeKeys(t, filepath.Join(t.TempDir(), "key"), file)
	for _, c := range []struct {
		name   string
		config Config
		want   sitekey.Key
	}{
		{"a file", Config{KeyFiles: []string{path}}, file},
		{"lan.key", Config{Key: lan.Text()}, lan},
		{"the database", Config{}, stored},
	} {
		trust := open(t, c.config)
		if err := trust.Store([]string{stored.Text()}); err != nil {
			t.Fatal(err)
		}
		if got := trust.Fingerprints(); len(got) != 1 || got[0] != c.want.Fingerprint() {
			t.Errorf("%s: %v is in force, want %s", c.name, got, c.want.Fingerprint())
		}
		if got := trust.NewKey()(); got != c.want.Text() {
			t.Errorf("%s: a new database gets another key than the one in force", c.name)
		}
		if got := trust.Use(LAN)(); len(got) != 1 || string(got[0]) != string(c.want.Use(LAN, cluster)) {
			t.Errorf("%s: the derived key is another one", c.name)
		}
	}
}

// A key of the database that is no key leaves the earlier ones in force, and no error shows it.
func TestStoredNonsense(t *testing.T) {
	withoutPlaces(t)
	good := sitekey.New()
	trust := open(t, Config{})
	if !trust.Keyless() || trust.Provable() {
		t.Error("a process without a key counts as one with a key")
	}
	if err := trust.Store([]string{good.Text()}); err != nil || trust.Keyless() || !trust.Provable() {
		t.Fatalf("a stored key is not in force: %v", err)
	}
	const nonsense = "sk1-nonsense"
	err := trust.Store([]string{good.Text(), nonsense})
	if err == nil || strings.Contains(err.Error(), nonsense) {
		t.Errorf("error %v", err)
	}
	if got := trust.Fingerprints(); len(got) != 1 || got[0] != good.Fingerprint() {
		t.Errorf("%v is in force, want %s", got, good.Fingerprint())
	}
}

// Without keys of a site there is nothing to store, to make or to read.
func TestModesWithoutKeys(t *testing.T) {
	for _, mode := range []string{Open, Certificates} {
		trust := open(t, Config{Mode: mode, KeyFiles: []string{"/no/such/file"}})
		if err := trust.Store([]string{sitekey.New().Text()}); err != nil || len(trust.Fingerprints()) != 0 {
			t.Errorf("%s: keys %v, %v", mode, trust.Fingerprints(), err)
		}
		if trust.NewKey() != nil || trust.Keyless() || trust.Mode() != mode {
			t.Errorf("%s: the site needs a key", mode)
		}
	}
}

// A named file that can't be read is an error at the start, which names the key of the
// configuration.
func TestFilesThatCantBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		config Config
		says   string
	}{
		{Config{KeyFiles: []string{missing}}, "site.keys: "},
		{Config{Operators: missing}, "site.operators: "},
		{Config{Key: "sk1-nonsense"}, "lan.key: "},
	} {
		if _, err := New(c.config); err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%q: %v", c.says, err)
		}
	}
}

// TestSigner: a signature counts for its purpose, its text and its cluster, by a key in force.
func TestSigner(t *testing.T) {
	withoutPlaces(t)
	first, second, foreign := sitekey.New(), sitekey.New(), sitekey.New()
	trust := open(t, Config{})
	if name, err := trust.Signer(rollout.ForRelease, "text", rollout.Proof{}); err != nil || name != "unproven" {
		t.Errorf("without a key: %q, %v", name, err)
	}
	if proof, err := trust.SiteSigner().Sign(rollout.ForRelease, "text"); err != nil || proof.Signature != nil {
		t.Errorf("without a key: proof %v, %v", proof, err)
	}
	if err := trust.Store([]string{second.Text(), first.Text()}); err != nil {
		t.Fatal(err)
	}
	by := func(k sitekey.Key, cluster string) rollout.Proof {
		return rollout.Proof{Kind: rollout.SiteProof, Signature: siteMAC(k, cluster, rollout.ForRelease, "text")}
	}
	own, err := trust.SiteSigner().Sign(rollout.ForRelease, "text")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		purpose rollout.Purpose
		text    string
		proof   rollout.Proof
		signer  string // "": refused
	}{
		{"its own", rollout.ForRelease, "text", own, "the site's key " + second.Fingerprint()},
		{"by an older key", rollout.ForRelease, "text", by(first, cluster), "the site's key " + first.Fingerprint()},
		{"none", rollout.ForRelease, "text", rollout.Proof{}, ""},
		{"of another text", rollout.ForRelease, "texts", own, ""},
		{"for another purpose", rollout.ForPromise, "text", own, ""},
		{"by a key of another site", rollout.ForRelease, "text", by(foreign, cluster), ""},
		{"of another cluster", rollout.ForRelease, "text", by(second, "other"), ""},
		{"of an unknown kind", rollout.ForRelease, "text", rollout.Proof{Kind: 7, Signature: own.Signature}, ""},
		{"by an operator", rollout.ForRelease, "text", newOperator("ann").sign(t, rollout.ForRelease, "text"), ""},
	} {
		name, err := trust.Signer(c.purpose, c.text, c.proof)
		if name != c.signer || (err == nil) != (c.signer != "") {
			t.Errorf("a proof %s: %q, %v", c.name, name, err)
		}
	}
	if err := trust.Store([]string{second.Text()}); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Signer(rollout.ForRelease, "text", by(first, cluster)); err == nil {
		t.Error("a key that was taken out signs on")
	}
}

// TestOperatorsSign: if operators are named, only they move a release.
func TestOperatorsSign(t *testing.T) {
	withoutPlaces(t)
	ann, eve := newOperator("ann"), newOperator("eve")
	key := sitekey.New()
	path := writeOperators(t, filepath.Join(t.TempDir(), "operators"), ann)
	trust := open(t, Config{Key: key.Text(), Operators: path})
	for _, p := range []rollout.Purpose{rollout.ForRelease, rollout.ForPromise} {
		if name, err := trust.Signer(p, "text", ann.sign(t, p, "text")); name != "ann" || err != nil {
			t.Errorf("%s by the operator: %q, %v", p, name, err)
		}
		for what, proof := range map[string]rollout.Proof{
			"none":              {},
			"of another text":   ann.sign(t, p, "texts"),
			"by a stranger":     eve.sign(t, p, "text"),
			"by the site's key": {Kind: rollout.SiteProof, Signature: siteMAC(key, cluster, p, "text")},
			"of no SSH form":    {Kind: rollout.SSHProof, Signature: []byte("signature")},
		} {
			if name, err := trust.Signer(p, "text", proof); err == nil {
				t.Errorf("%s: a proof %s is of %q", p, what, name)
			}
		}
	}
	if _, err := trust.Signer(rollout.ForPromise, "text", ann.sign(t, rollout.ForRelease, "text")); err == nil {
		t.Error("a signature for a release asks for a promise")
	}
	if _, err := trust.SiteSigner().Sign(rollout.ForRelease, "text"); err == nil {
		t.Error("the site's key signs in place of an operator")
	}
}
