package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/sshsig"
)

// keyFile writes a private key in OpenSSH's form, and returns its line for a file of
// operators.
func keyFile(t *testing.T, name string, private ed25519.PrivateKey) (path, line string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, name)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key := sshsig.PublicKey(private.Public().(ed25519.PublicKey))
	return path, fmt.Sprintf("%s namespaces=\"%s\" %s\n", name, strings.Join(sshsig.Namespaces, ","), key)
}

// Steps signed by the envelope's key are shown until another key acknowledges them. An
// acknowledgement by the envelope's key has no effect.
func TestUseOfTheEnvelopeIsShown(t *testing.T) {
	t.Parallel()
	paper, _ := operatorkey.NewEnvelope()
	secret, err := operatorkey.ParseEnvelope(paper)
	if err != nil {
		t.Fatal(err)
	}
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	envelope, lineOfEnvelope := keyFile(t, operatorkey.Breakglass, secret)
	li, lineOfLi := keyFile(t, "li", own)
	operators := filepath.Join(t.TempDir(), "operators")
	if err := os.WriteFile(operators, []byte(lineOfLi+lineOfEnvelope), 0o644); err != nil {
		t.Fatal(err)
	}
	config := site(t, "site: {operators: "+operators+"}\n")
	offerClock(t, config)
	run := func(want int, says string, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, "", append(args, "-c", config, "--timeout", "20s")...)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("%v: exit code %d, want %q\n%s%s", args, code, says, out, errs)
		}
		return out
	}
	shown := func(want ...string) {
		t.Helper()
		var st struct{ Envelope []releases.EnvelopeUse }
		eventually(t, fmt.Sprint("status shows ", want), func() bool { // after the LAN has answered
			st.Envelope = nil
			err := json.Unmarshal([]byte(run(exitOK, "", "release", "status", "--json")), &st)
			return err == nil && len(st.Envelope) == len(want)
		})
		for i, u := range st.Envelope {
			if u.Generation.String() != want[i] {
				t.Errorf("status shows %+v, want %v", st.Envelope, want)
			}
		}
		text := run(exitOK, "", "release", "status")
		if has := strings.Contains(text, "ENVELOPE: its key has signed "); has != (len(want) > 0) {
			t.Errorf("status:\n%s", text)
		}
	}
	run(exitOK, "", "release", "start", "--by", "ann", "--reason", "spring", "--key", li, "--yes")
	shown()
	run(exitOK, "until another operator acknowledges it", "release", "rollback", "--by", "night",
		"--key", envelope, "--yes")
	shown("2")
	run(exitProblem, "the key of the envelope has signed generation 2 (roll back, by night", "doctor")
	run(exitUsage, "by another key", "release", "acknowledge", "--envelope", "--yes")
	run(exitProblem, "acknowledges nothing", "release", "acknowledge", "--key", envelope, "--yes")
	shown("2", "3")
	run(exitOK, "Acknowledged", "release", "acknowledge", "--by", "ann", "--key", li, "--yes")
	shown()
	run(exitProblem, "nothing that is not acknowledged", "release", "acknowledge", "--key", li, "--yes")
	if out := run(exitOK, "", "doctor"); strings.Contains(out, "envelope has signed") {
		t.Errorf("doctor:\n%s", out)
	}
}
