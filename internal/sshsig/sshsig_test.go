package sshsig

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// signer is a key with a seed of one byte 32 times.
func signer(seed byte) (ed25519.PrivateKey, PublicKey) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return private, PublicKey(private.Public().(ed25519.PublicKey))
}

func sign(t testing.TB, seed byte, namespace string, message []byte) ([]byte, PublicKey) {
	t.Helper()
	private, public := signer(seed)
	blob, err := Blob(public, namespace, ed25519.Sign(private, Signed(namespace, message)))
	if err != nil {
		t.Fatal(err)
	}
	return blob, public
}

func TestVerify(t *testing.T) {
	message := []byte("skerry-entry 1\n{}")
	blob, public := sign(t, 1, Release, message)
	if got, err := Verify(blob, Release, message); err != nil || got != public {
		t.Fatalf("Verify = %v, %v, want %v", got, err, public)
	}
	for _, c := range []struct {
		name, namespace, message, want string
		blob                           []byte
	}{
		{"another message", Release, "skerry-entry 1\n{ }", "does not fit the message", blob},
		{"another namespace", Promise, string(message),
			`made for the namespace "skerry-release", wanted is "skerry-promise"`, blob},
		{"bytes behind the end", Release, string(message), "bytes follow its end", append(bytes.Clone(blob), 0)},
		{"too long", Release, string(message), "at most 1024", append(bytes.Clone(blob), make([]byte, 1024)...)},
		{"empty", Release, string(message), "does not begin with SSHSIG", nil},
		{"armoured", Release, string(message), "does not begin with SSHSIG", Armor(blob)},
		{"another version", Release, string(message), "version",
			bytes.Replace(blob, []byte("SSHSIG\x00\x00\x00\x01"), []byte("SSHSIG\x00\x00\x00\x02"), 1)},
		{"a weak hash", Release, string(message), "neither sha512 nor sha256",
			bytes.Replace(blob, []byte("sha512"), []byte("sha384"), 1)},
		{"another type of key", Release, string(message), "ssh-keygen -t ed25519",
			bytes.Replace(blob, []byte("ssh-ed25519"), []byte("ssh-ed25518"), 1)},
		{"another type of signature", Release, string(message), "holds no ssh-ed25519 signature",
			replaceLast(blob, "ssh-ed25519", "ssh-ed25518")},
	} {
		_, err := Verify(c.blob, c.namespace, []byte(c.message))
		if !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func replaceLast(in []byte, old, with string) []byte {
	at := bytes.LastIndex(in, []byte(old))
	return append(append(bytes.Clone(in[:at]), with...), in[at+len(old):]...)
}

// TestNoOtherBlob changes every bit of a signature, and cuts it at every length.
func TestNoOtherBlob(t *testing.T) {
	message := []byte("message")
	blob, _ := sign(t, 1, Release, message)
	for i := range blob {
		for bit := range 8 {
			changed := bytes.Clone(blob)
			changed[i] ^= 1 << bit
			if key, err := Verify(changed, Release, message); err == nil {
				t.Fatalf("bit %d of byte %d changed: still a signature, of %v", bit, i, key)
			}
		}
		if _, err := Verify(blob[:i], Release, message); err == nil {
			t.Fatalf("cut to %d bytes: still a signature", i)
		}
	}
}

func TestBlobRefuses(t *testing.T) {
	_, public := signer(1)
	if _, err := Blob(public, Release, make([]byte, 63)); err == nil {
		t.Error("a signature of 63 bytes was taken")
	}
	for _, n := range []string{"", strings.Repeat("n", 65)} {
		if _, err := Blob(public, n, make([]byte, 64)); err == nil {
			t.Errorf("a namespace of %d bytes was taken", len(n))
		}
	}
}

func TestArmor(t *testing.T) {
	blob, _ := sign(t, 1, Release, []byte("message"))
	text := Armor(blob)
	for name, form := range map[string][]byte{
		"as it is": text, "Windows": bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")),
		"blanks around": []byte("\n " + string(text) + "\n"),
	} {
		back, err := Dearmor(form)
		if err != nil || !bytes.Equal(back, blob) {
			t.Errorf("%s: %x, %v, want %x", name, back, err, blob)
		}
	}
	for _, bad := range []string{
		"", "x", armorBegin, armorBegin + armorEnd[1:], armorBegin + "\n!\n" + armorEnd,
		strings.Repeat("A", maxArmor+1),
	} {
		if _, err := Dearmor([]byte(bad)); err == nil {
			t.Errorf("%.40q was taken as a signature file", bad)
		}
	}
}

// keygen runs ssh-keygen, which scripts/setup installs.
func keygen(t *testing.T, in string, args ...string) string {
	t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func newKey(t *testing.T, kind string) (file string, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "id")
	keygen(t, "", "-q", "-t", kind, "-N", "", "-C", "li@ops-1", "-f", file)
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return file, string(text)
}

// TestOpenSSHSigns reads signatures of ssh-keygen.
func TestOpenSSHSigns(t *testing.T) {
	file, line := newKey(t, "ed25519")
	public, comment, err := ParsePublicKey(line)
	if err != nil || comment != "li@ops-1" {
		t.Fatalf("ParsePublicKey = %v, comment %q", err, comment)
	}
	if listed := keygen(t, "", "-l", "-f", file+".pub"); !strings.Contains(listed, public.Fingerprint()) {
		t.Errorf("Fingerprint = %s; ssh-keygen -l: %s", public.Fingerprint(), listed)
	}
	for _, hash := range []string{"sha512", "sha256"} {
		for _, message := range []string{"", "skerry-entry 1\n{}", strings.Repeat("long ", 1<<16)} {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.WriteFile(data, []byte(message), 0o600); err != nil {
				t.Fatal(err)
			}
			keygen(t, "", "-Y", "sign", "-q", "-n", Release, "-O", "hashalg="+hash, "-f", file, data)
			text, err := os.ReadFile(data + ".sig")
			if err != nil {
				t.Fatal(err)
			}
			blob, err := Dearmor(text)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Verify(blob, Release, []byte(message)); err != nil || got != public {
				t.Errorf("%s, %d bytes: %v, %v, want %v", hash, len(message), got, err, public)
			}
			if !bytes.Equal(Armor(blob), text) {
				t.Errorf("Armor writes\n%s\nssh-keygen\n%s", Armor(blob), text)
			}
		}
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	for _, kind := range []string{"rsa", "ecdsa"} {
		file, line := newKey(t, kind)
		if _, _, err := ParsePublicKey(line); err == nil || !strings.Contains(err.Error(), "ssh-keygen -t ed25519") {
			t.Errorf("the public key of type %s: %v, want an error that says which to make", kind, err)
		}
		data := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(data, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		keygen(t, "", "-Y", "sign", "-q", "-n", Release, "-f", file, data)
		text, err := os.ReadFile(data + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		blob, err := Dearmor(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(blob, Release, []byte("x")); err == nil {
			t.Errorf("a signature of type %s was taken", kind)
		}
	}
}

// TestOpenSSHVerifies checks that ssh-keygen accepts the package's signatures and file of
// operators, and refuses the same ones.
func TestOpenSSHVerifies(t *testing.T) {
	dir := t.TempDir()
	message := []byte("skerry-entry 1\n{}")
	blob, public := sign(t, 7, Release, message)
	line, err := Operator{Name: "li", Key: public, Namespaces: Namespaces, Comment: "li@ops-1"}.Format()
	if err != nil {
		t.Fatal(err)
	}
	operators, signature := filepath.Join(dir, "operators"), filepath.Join(dir, "sig")
	if err := errors.Join(os.WriteFile(operators, []byte(line+"\n"), 0o600),
		os.WriteFile(signature, Armor(blob), 0o600)); err != nil {
		t.Fatal(err)
	}
	out := keygen(t, string(message), "-Y", "verify", "-f", operators, "-I", "li", "-n", Release, "-s", signature)
	if !strings.Contains(out, "Good") {
		t.Errorf("ssh-keygen says %s", out)
	}
	cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", operators, "-I", "li", "-n", Release, "-s", signature)
	cmd.Stdin = strings.NewReader("another message")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("ssh-keygen takes the signature for another message: %s", out)
	}
}

func FuzzVerify(f *testing.F) {
	blob, _ := sign(f, 1, Release, []byte("m"))
	f.Add(blob)
	f.Add([]byte("SSHSIG\x00\x00\x00\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if key, err := Verify(in, Release, []byte("m")); err == nil {
			if _, public := signer(1); key != public {
				return // the fuzzer may have a valid key
			}
			if !bytes.Equal(in, blob) {
				t.Errorf("a second form of one signature: %x", in)
			}
		}
	})
}

func FuzzDearmor(f *testing.F) {
	blob, _ := sign(f, 1, Release, []byte("m"))
	f.Add(Armor(blob))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Dearmor(in)
		if err != nil {
			return
		}
		if back, err := Dearmor(Armor(out)); err != nil || !bytes.Equal(back, out) {
			t.Errorf("%x comes back as %x, %v", out, back, err)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	_, public := signer(1)
	f.Add(public.String() + " a comment")
	f.Add("ssh-ed25519 AAAA")
	f.Fuzz(func(t *testing.T, line string) {
		key, _, err := ParsePublicKey(line)
		if err != nil {
			return
		}
		if back, _, err := ParsePublicKey(key.String()); err != nil || back != key {
			t.Errorf("%s comes back as %v, %v", key, back, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	message := bytes.Repeat([]byte("x"), 1024)
	blob, _ := sign(b, 1, Release, message)
	for b.Loop() {
		if _, err := Verify(blob, Release, message); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleVerify() {
	private, public := signer(1)
	message := []byte("version 2 from now on")
	blob, _ := Blob(public, Release, ed25519.Sign(private, Signed(Release, message)))

	operators := NewOperators(Operator{Name: "li", Key: public, Namespaces: []string{Release}})
	key, err := Verify(blob, Release, message)
	name, trusted := operators.Find(key, Release)
	fmt.Println(name, trusted, err)
	// Output: li true <nil>
}
