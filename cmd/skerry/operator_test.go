package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/sshsig"
)

func TestOperatorCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "operators")
	config := writeConfig(t, "site: {operators: "+file+"}\n")
	li, wu := sshsig.PublicKey{1}, sshsig.PublicKey{2}
	pub := filepath.Join(dir, "li.pub")
	if err := os.WriteFile(pub, []byte(li.String()+" li@ops-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, "", exitUsage, "", "site: {operators: /etc/skerry/operators}", "operator", "ls",
		"-c", writeConfig(t, "cluster: x\n"))
	want(t, "", exitProblem, "", "skerry operator add NAME KEY.pub", "operator", "ls", "-c", config)
	want(t, "", exitOK, li.Fingerprint(), "", "operator", "add", "li", pub, "-c", config)
	want(t, wu.String(), exitOK, wu.Fingerprint(), "", "operator", "add", "wu",
		"-", "--namespaces", "skerry-policy", "-c", config)
	for name, c := range map[string]struct {
		stdin, want string
		code        int
		args        []string
	}{
		"the same name": {sshsig.PublicKey{3}.String(), "the operator li stands in line 2", exitProblem,
			[]string{"li", "-"}},
		"the same key":  {li.String(), "is the one of li", exitProblem, []string{"xu", "-"}},
		"a pattern":     {sshsig.PublicKey{3}.String(), "is a pattern or a list", exitProblem, []string{"*", "-"}},
		"escapes":       {sshsig.PublicKey{3}.String(), `\x1b[2J`, exitProblem, []string{"a\x1b[2J", "-"}},
		"another type":  {"ssh-rsa AAAA", "ssh-keygen -t ed25519", exitProblem, []string{"xu", "-"}},
		"a private key": {"-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key", exitProblem, []string{"xu", "-"}},
		"no file":       {"", "no such file", exitProblem, []string{"xu", filepath.Join(dir, "none.pub")}},
		"the envelope's": {sshsig.PublicKey{3}.String(), "skerry operator envelope", exitUsage,
			[]string{"breakglass", "-"}},
	} {
		code, out, errs := cli(t, c.stdin, append([]string{"operator", "add", "-c", config}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(out+errs, "\x1b") {
			t.Errorf("%s: exit code %d, want %d\n%q, want %q", name, code, c.code, out+errs, c.want)
		}
	}
	out := want(t, "", exitOK, "skerry-policy", "", "operator", "ls", "-c", config)
	if !strings.Contains(out, li.Fingerprint()) || !strings.Contains(out, "li@ops-1") || strings.Contains(out, "xu") {
		t.Errorf("operator ls:\n%s", out)
	}
	var doc struct{ Operators []operatorRow }
	text := want(t, "", exitOK, "", "", "operator", "ls", "--json", "--file", file)
	if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc.Operators) != 2 ||
		doc.Operators[1].Name != "wu" {
		t.Errorf("operator ls --json: %+v, %v", doc, err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	want(t, "", exitProblem, "", "chmod go-w "+file, "operator", "ls", "-c", config)
	want(t, sshsig.PublicKey{3}.String(), exitProblem, "", "chmod go-w "+file, "operator", "add", "xu",
		"-", "-c", config)
}

// TestOperatorEnvelope makes an envelope and signs with the printed key.
func TestOperatorEnvelope(t *testing.T) {
	file := filepath.Join(t.TempDir(), "operators")
	out := want(t, "", exitOK, "breakglass may sign everything", "", "operator", "envelope", "--file", file)
	line := regexp.MustCompile(`(?m)^ +((?:[0-9A-Z]{4}-){12}[0-9A-Z]{4})$`).FindStringSubmatch(out)
	if line == nil {
		t.Fatalf("no line of an envelope in\n%s", out)
	}
	operators, err := keyfile.ReadOperators(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := operatorkey.Open(t.Context(),
		operatorkey.Options{Envelope: true, Operators: operators, Namespace: sshsig.Release,
			Ask: func(string) (string, error) { return strings.ToLower(line[1]), nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	blob, err := s.Sign(sshsig.Release, []byte("entry"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sshsig.Verify(blob, sshsig.Release, []byte("entry"))
	if name, ok := sshsig.NewOperators(operators...).Find(key, sshsig.Release); err != nil || !ok ||
		name != operatorkey.Breakglass {
		t.Errorf("the signature is %q's, %v, %v", name, ok, err)
	}
	want(t, "", exitProblem, "", "breakglass stands in line 2 already", "operator", "envelope", "--file", file)
}

// TestDoctorNamesOperators: doctor names the operators with obeyed releases, and the
// mistakes of their file.
func TestDoctorNamesOperators(t *testing.T) {
	file := filepath.Join(t.TempDir(), "operators")
	look := func(path string, is level, parts ...string) {
		t.Helper()
		list := doctor.Operators(path)
		if len(list) != 1 || list[0].Level != is {
			t.Fatalf("%+v", list)
		}
		for _, part := range parts {
			if text := string(list[0].Text + list[0].Do); !strings.Contains(text, part) {
				t.Errorf("%q lacks %q", text, part)
			}
		}
	}
	look("", hint, "any process of the site can release", "site.operators")
	look(file, problem, "copy it from a host that has it", "skerry operator add")
	want(t, sshsig.PublicKey{1}.String(), exitOK, "", "", "operator", "add", "li", "-", "--file", file)
	look(file, fine, "releases of li are obeyed")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	look(file, problem, "chmod go-w "+file)
}
