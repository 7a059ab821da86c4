package trust

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

// TestPolicyHasItsOwnUse: a signature of the site's key for a release does not change the policy, and the other way.
func TestPolicyHasItsOwnUse(t *testing.T) {
	tr, err := New(Config{Cluster: "c", Key: sitekey.New().Text()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []rollout.Purpose{forPolicy, rollout.ForRelease, rollout.ForPromise} {
		proof, err := tr.SiteSigner().Sign(p, "text")
		if err != nil {
			t.Fatal(err)
		}
		for _, as := range []rollout.Purpose{forPolicy, rollout.ForRelease, rollout.ForPromise} {
			if _, err := tr.Signer(as, "text", proof); (err == nil) != (p == as) {
				t.Errorf("a proof for %s counts as one for %s: %v", p, as, err)
			}
		}
	}
}

// TestPolicyOperators: only keys of the namespace skerry-policy change the policy.
func TestPolicyOperators(t *testing.T) {
	lines := ""
	blobs := map[string]rollout.Proof{}
	for name, namespaces := range map[string]string{
		"li": "skerry-policy", "wang": "skerry-release", "zhao": "skerry-*",
	} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		op := sshsig.Operator{Name: name, Namespaces: []string{namespaces}, Key: sshsig.PublicKey(public)}
		line, err := op.Format()
		if err != nil {
			t.Fatal(err)
		}
		lines += line + "\n"
		blob, err := sshsig.Blob(op.Key, sshsig.Policy,
			ed25519.Sign(private, sshsig.Signed(sshsig.Policy, []byte("text"))))
		if err != nil {
			t.Fatal(err)
		}
		blobs[name] = rollout.Proof{Kind: rollout.SSHProof, Signature: blob}
	}
	file := filepath.Join(t.TempDir(), "operators")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	tr, err := New(Config{Cluster: "c", Mode: Open, Operators: file})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"li": true, "wang": false, "zhao": true} {
		if got, err := tr.Signer(forPolicy, "text", blobs[name]); (err == nil) != want || want && got != name {
			t.Errorf("%s may change the policy: %q, %v; want %v", name, got, err, want)
		}
		if _, err := tr.Signer(rollout.ForRelease, "text", blobs[name]); err == nil {
			t.Errorf("the policy signature of %s counts for a release", name)
		}
	}
}
