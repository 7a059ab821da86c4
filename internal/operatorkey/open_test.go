//go:build unix

package operatorkey

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/sshsig"
)

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// newKey makes a key by ssh-keygen.
func newKey(t *testing.T, kind, passphrase string) (file string, key sshsig.PublicKey) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "id")
	command(t, "ssh-keygen", "-q", "-a", "1", "-t", kind, "-N", passphrase, "-C", "key of a test", "-f", file)
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if kind == "ed25519" {
		if key, _, err = sshsig.ParsePublicKey(string(text)); err != nil {
			t.Fatal(err)
		}
	}
	return file, key
}

// startAgent runs an ssh-agent that holds the keys, and ends it with the test.
func startAgent(t *testing.T, files ...string) *exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		agent.Process.Kill()
		agent.Wait()
		os.RemoveAll(dir)
	})
	for end := time.Now().Add(10 * time.Second); ; {
		if c, err := net.Dial("unix", socket); err == nil { // the file alone takes no connection yet
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("ssh-agent takes no connection within 10 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Setenv("SSH_AUTH_SOCK", socket)
	for _, f := range files {
		command(t, "ssh-add", "-q", f)
	}
	return agent
}

func operator(name string, key sshsig.PublicKey, namespaces ...string) sshsig.Operator {
	if namespaces == nil {
		namespaces = sshsig.Namespaces
	}
	return sshsig.Operator{Name: name, Key: key, Namespaces: namespaces}
}

// noTerminal is the Ask of a process without a terminal.
func noTerminal(string) (string, error) { return "", ErrNoTerminal }

// typed answers with one text after the other.
func typed(texts ...string) func(string) (string, error) {
	return func(string) (string, error) {
		if len(texts) == 0 {
			return "", errors.New("asked once too often")
		}
		text := texts[0]
		texts = texts[1:]
		return text, nil
	}
}

func signs(t *testing.T, o Options, name string, key sshsig.PublicKey) {
	t.Helper()
	o.Namespace = sshsig.Release
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	if s.Name() != name || s.PublicKey() != key {
		t.Errorf("signs as %s with %s, want %s with %s", s.Name(), s.PublicKey().Fingerprint(), name, key.Fingerprint())
	}
	for _, message := range []string{"one", "two"} {
		blob, err := s.Sign(sshsig.Release, []byte(message))
		if err != nil {
			t.Error(err)
			return
		}
		if got, err := sshsig.Verify(blob, sshsig.Release, []byte(message)); err != nil || got != key {
			t.Errorf("the signature is of %v, %v", got, err)
		}
	}
}

func fails(t *testing.T, what string, o Options, want ...string) {
	t.Helper()
	if o.Namespace == "" {
		o.Namespace = sshsig.Release
	}
	s, err := Open(t.Context(), o)
	if err == nil {
		s.Close()
		t.Errorf("%s: signs as %s", what, s.Name())
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v\nwant an error with %q", what, err, w)
		}
	}
}

func TestKeyFile(t *testing.T) {
	file, key := newKey(t, "ed25519", "")
	locked, lockedKey := newKey(t, "ed25519", "open sesame")
	ecdsa, _ := newKey(t, "ecdsa", "")
	li, wu := operator("li", key), operator("wu", lockedKey)
	both := []sshsig.Operator{li, wu}

	signs(t, Options{File: file, Operators: both, Ask: noTerminal}, "li", key)
	signs(t, Options{File: file, Operators: both, Name: "li", Ask: noTerminal}, "li", key)
	signs(t, Options{File: locked, Operators: both, Ask: typed("open sesame")}, "wu", lockedKey)
	signs(t, Options{File: locked, Operators: both, Ask: typed("", "wrong", "open sesame")}, "wu", lockedKey)

	fails(t, "wrong passphrase", Options{File: locked, Operators: both, Ask: typed("a", "b", "c", "open sesame")},
		"wrong 3 times")
	fails(t, "no terminal", Options{File: locked, Operators: both, Ask: noTerminal}, "no terminal", "ssh-add "+locked)
	fails(t, "another type", Options{File: ecdsa, Operators: both, Ask: noTerminal}, "ssh-keygen -t ed25519")
	fails(t, "no file", Options{File: file + "x", Operators: both}, "no such file")
	fails(t, "a directory", Options{File: filepath.Dir(file), Operators: both}, "a directory")
	fails(t, "of no operator", Options{File: file, Operators: []sshsig.Operator{wu}}, key.Fingerprint(),
		"belongs to no operator", "wu ("+lockedKey.Fingerprint()+")", "skerry operator add")
	fails(t, "of another operator", Options{File: file, Operators: both, Name: "wu"}, "is the one of li, not of wu")
	fails(t, "an unknown name", Options{File: file, Operators: both, Name: "xu"}, "names no xu", "li (SHA256:")
	fails(t, "another namespace",
		Options{File: file, Operators: []sshsig.Operator{operator("li", key, sshsig.Policy)}},
		"does not name skerry-release", "skerry-policy only")
	fails(t, "file and envelope", Options{File: file, Envelope: true, Operators: both}, "one of them")

	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, "no key", Options{File: text, Operators: both}, "holds no private key")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	fails(t, "readable by all", Options{File: file, Operators: both}, "chmod 600 "+file)
}

func TestAgent(t *testing.T) {
	file, key := newKey(t, "ed25519", "")
	second, secondKey := newKey(t, "ed25519", "")
	rsa, _ := newKey(t, "rsa", "")
	other, otherKey := newKey(t, "ed25519", "")
	li, wu, xu := operator("li", key), operator("wu", secondKey), operator("xu", otherKey)

	t.Setenv("SSH_AUTH_SOCK", "")
	fails(t, "no agent", Options{Operators: []sshsig.Operator{li}}, "SSH_AUTH_SOCK names no ssh-agent", "--key FILE")
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "gone"))
	fails(t, "a dead agent", Options{Operators: []sshsig.Operator{li}}, "can't be reached", "--key FILE")

	startAgent(t)
	fails(t, "empty", Options{Operators: []sshsig.Operator{li}}, "the agent has no key", "li ("+key.Fingerprint()+")",
		"ssh-add")
	command(t, "ssh-add", "-q", rsa)
	fails(t, "only another type", Options{Operators: []sshsig.Operator{li}}, "ssh-rsa", "li ("+key.Fingerprint()+")")
	command(t, "ssh-add", "-q", file)
	signs(t, Options{Operators: []sshsig.Operator{li, wu}}, "li", key)
	fails(t, "none of the operators'", Options{Operators: []sshsig.Operator{wu}}, key.Fingerprint(),
		"wu ("+secondKey.Fingerprint()+")")
	command(t, "ssh-add", "-q", second)
	both := []sshsig.Operator{li, wu}
	fails(t, "several", Options{Operators: both}, "li, wu", "--by li")
	signs(t, Options{Operators: both, Name: "wu"}, "wu", secondKey)
	signs(t, Options{Operators: both, File: second + ".pub"}, "wu", secondKey)
	signs(t, Options{Operators: []sshsig.Operator{operator("li", key, sshsig.Policy), wu}}, "wu", secondKey)
	fails(t, "a .pub of no key in the agent", Options{Operators: append(both, xu), File: other + ".pub"},
		"has no operator's key")
	fails(t, "a .pub of no operator", Options{Operators: both, File: other + ".pub"}, otherKey.Fingerprint(),
		"belongs to no operator")
	fails(t, "a .pub that is none", Options{Operators: both, File: rsa + ".pub"}, rsa+".pub", "ssh-keygen -t ed25519")
}

// TestAgentGoes removes the key, then the agent of a Signer.
func TestAgentGoes(t *testing.T) {
	file, key := newKey(t, "ed25519", "")
	agent := startAgent(t, file)
	o := Options{Operators: []sshsig.Operator{operator("li", key)}, Namespace: sshsig.Release}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	command(t, "ssh-add", "-q", "-d", file)
	if _, err := s.Sign(sshsig.Release, []byte("x")); err == nil ||
		!strings.Contains(err.Error(), "was the key taken out") {
		t.Errorf("after ssh-add -d: %v", err)
	}
	command(t, "ssh-add", "-q", file)
	if _, err := s.Sign(sshsig.Release, []byte("x")); err != nil {
		t.Errorf("with the key back: %v", err)
	}
	agent.Process.Kill()
	agent.Wait()
	if _, err := s.Sign(sshsig.Release, []byte("x")); err == nil {
		t.Error("signs without the agent")
	}
}

// TestContextEndsTheWait freezes the agent.
func TestContextEndsTheWait(t *testing.T) {
	file, key := newKey(t, "ed25519", "")
	agent := startAgent(t, file)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Open(ctx, Options{Operators: []sshsig.Operator{operator("li", key)}, Namespace: sshsig.Release})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	freeze(t, agent.Process)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Sign(sshsig.Release, []byte("x"))
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a frozen agent has signed")
		}
	case <-time.After(20 * time.Second):
		t.Error("Sign waits for a frozen agent after its context has ended")
	}
}

func TestOpenEnvelope(t *testing.T) {
	line, key := NewEnvelope()
	ops := []sshsig.Operator{operator(Breakglass, key)}
	signs(t, Options{Envelope: true, Operators: ops, Ask: typed(strings.ToLower(line))}, Breakglass, key)
	fails(t, "mistyped", Options{Envelope: true, Operators: ops, Ask: typed(line[:8])}, "are missing")
	fails(t, "no terminal", Options{Envelope: true, Operators: ops, Ask: noTerminal}, "no terminal", "ssh -t")
	other, _ := NewEnvelope()
	fails(t, "another site's", Options{Envelope: true, Operators: ops, Ask: typed(other)}, "the key of the envelope",
		"belongs to no operator")
}
func freeze(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Signal(syscall.SIGCONT) })
}

// TestUnlistedKey: where no file names keys, a key of a file and the named one of two in an agent sign, each by its
// fingerprint.
func TestUnlistedKey(t *testing.T) {
	file, key := newKey(t, "ed25519", "")
	other, _ := newKey(t, "ed25519", "")
	startAgent(t, other, file)
	for _, path := range []string{file, file + ".pub"} {
		o := Options{File: path, Namespace: sshsig.Artifact, Ask: noTerminal}
		if _, err := Open(t.Context(), o); err == nil {
			t.Errorf("%s: a key that no file names signs", path)
		}
		o.Unlisted = true
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		blob, err := s.Sign(sshsig.Artifact, []byte("x"))
		if err != nil || s.Name() != key.Fingerprint() {
			t.Fatalf("signed by %s, %v", s.Name(), err)
		}
		if by, err := sshsig.Verify(blob, sshsig.Artifact, []byte("x")); err != nil || by != key {
			t.Errorf("signed by %s, %v", by, err)
		}
	}
}
