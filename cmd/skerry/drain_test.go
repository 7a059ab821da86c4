package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/discovery"
)

// drained is the document of drain and deregister.
type drained struct {
	Processes []drainResult `json:"processes"`
}

func (d drained) only(t *testing.T) drainResult {
	t.Helper()
	if len(d.Processes) != 1 {
		t.Fatalf("%+v", d)
	}
	return d.Processes[0]
}

// TestDrainAndUndo drains one of two providers, by its instance and by its process. The other one gets
// all calls; the drained one stays alive and listed. ls, members and doctor show operator, time and reason.
func TestDrainAndUndo(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	one, two := offerClock(t, cfg), offerClock(t, cfg)
	eventually(t, "both are listed", func() bool { return len(one.Explain("clock")) == 2 })
	me := two.Membership().Owner().String()
	at := ""
	for _, e := range one.Explain("clock") {
		if e.Owner == me {
			at = e.Addr
		}
	}
	short := strings.Join(strings.Split(me, "/")[:2], "/")
	if short == strings.Join(strings.Split(one.Membership().Owner().String(), "/")[:2], "/") {
		short = me // one test process is both
	}
	state := func(want discovery.State, why string) {
		t.Helper()
		eventually(t, "the state "+string(want), func() bool {
			for _, e := range one.Explain("clock") {
				if e.Owner == me {
					return e.State == want && strings.Contains(e.Why, why)
				}
			}
			return false
		})
	}
	must := func(args ...string) (d drained, out string) {
		t.Helper()
		code, out, errs := cli(t, "", append(args, "-c", cfg)...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
		if strings.Contains(strings.Join(args, " "), "--json") {
			if err := json.Unmarshal([]byte(out), &d); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		return d, out
	}

	d, _ := must("drain", "clock", "--at", at, "--reason", "a new disk", "--by", "li", "--json")
	if r := d.only(t); r.Process != me || r.State != "drained" || r.Running != 0 || r.Retained ||
		strings.Join(r.Instances, ",") != "clock/v3 at "+at {
		t.Errorf("%+v", r)
	}
	state(discovery.Drained, ": a new disk")
	if n := two.Explain("clock"); len(n) != 2 {
		t.Errorf("the drained process lists %+v", n)
	}
	if _, out := must("ls"); !strings.Contains(out, "drained by li since 20") || !strings.Contains(out, "a new disk") {
		t.Errorf("ls says\n%s", out)
	}
	if _, out := must("members"); !strings.Contains(out, "ok,drained") {
		t.Errorf("members says\n%s", out)
	}
	if _, out, _ := cli(t, "", "doctor", "-c", cfg); !strings.Contains(out, "is drained by li since") {
		t.Errorf("doctor says\n%s", out)
	}
	if code, _, errs := cli(t, "", "drain", one.Membership().Owner().String(), "-c", cfg); code != exitProblem ||
		!strings.Contains(errs, "no other well instance of clock/v3 is left") {
		t.Errorf("the last one: exit code %d, %s", code, errs)
	}
	must("drain", "clock", "--at", at, "--undo")
	state(discovery.OK, "")

	_, out := must("drain", short, "--for", "1h", "--by", "li")
	if !strings.Contains(out, "or until a restart") || !strings.Contains(out, "skerry drain "+short+" --undo") {
		t.Errorf("drain says\n%s", out)
	}
	state(discovery.Drained, "drained by li")
	if code, out, _ := cli(t, "", "drain", "clock", "--at", at, "--undo", "-c", cfg); code != exitProblem ||
		!strings.Contains(out, "the whole process is drained") {
		t.Errorf("a part of a drained process: exit code %d\n%s", code, out)
	}
	must("drain", short, "--undo")
	state(discovery.OK, "")
	if code, out, _ := cli(t, "", "drain", short, "--undo", "-c", cfg); code != exitProblem ||
		!strings.Contains(out, "nothing is drained") {
		t.Errorf("once more: exit code %d\n%s", code, out)
	}
	must("drain", "clock", "--last")
	eventually(t, "no instance is left", func() bool {
		for _, e := range one.Explain("clock") {
			if e.State != discovery.Drained {
				return false
			}
		}
		return true
	})
	if code, out, _ := cli(t, "", "doctor", "-c", cfg); code != exitProblem ||
		!strings.Contains(out, "no other well instance of this version is left") {
		t.Errorf("doctor says\n%s", out)
	}
}

func TestDrainRefuses(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"drain"}, exitUsage, "accepts 1 arg"},
		{[]string{"drain", "clock", "--undo", "--for", "1h"}, exitUsage, "--undo goes without"},
		{[]string{"drain", "clock", "--for", "1ms"}, exitUsage, "want a time from 1s"},
		{[]string{"drain", "clock", "--for", "9000h"}, exitUsage, "to 2160h"},
		{[]string{"drain", "clock", "--wait", "-1s"}, exitUsage, "--wait"},
		{[]string{"drain", "clok"}, exitProblem, "did you mean clock?"},
		{[]string{"drain", "clock/v9"}, exitProblem, "no process, host or service clock/v9"},
		{[]string{"drain", "clock", "--at", "10.9.9.9"}, exitProblem, "no instance of clock at 10.9.9.9"},
		{[]string{"drain", "clock"}, exitProblem, "drain the last one with --last"},
		{[]string{"drain", "clock", "--last", "--reason", strings.Repeat("x", 161)}, exitProblem,
			"no text of at most 160"},
		{[]string{"drain", "clock", "--last", "--key", "k"}, exitUsage, "the site's key signs"},
		{[]string{"deregister", "clock"}, exitProblem, "no other well instance"},
		{[]string{"deregister", "nothing"}, exitProblem, "no process, host or service nothing"},
	} {
		code, out, errs := cli(t, "", append(c.args, "-c", cfg)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%v: exit code %d\n%s%s", c.args, code, out, errs)
		}
	}
}

// newOperatorKey writes the key file of an operator, and returns its line for the file of operators.
func newOperatorKey(t *testing.T, name string) (path, line string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyFile(t, name, private)
}

// TestDrainByOperators: where the site names operators, one of them must sign.
func TestDrainByOperators(t *testing.T) {
	key, line := newOperatorKey(t, "li")
	stranger, _ := newOperatorKey(t, "mo")
	file := filepath.Join(t.TempDir(), "operators")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := site(t, "state_dir: none\nsite: {operators: "+file+"}\n")
	one, two := offerClock(t, cfg), offerClock(t, cfg)
	eventually(t, "both are listed", func() bool { return len(one.Explain("clock")) == 2 })
	process := two.Membership().Owner().String()
	t.Setenv("SSH_AUTH_SOCK", "")
	if code, out, errs := cli(t, "", "drain", process, "-c", cfg); code != exitProblem ||
		!strings.Contains(out+errs, "--key") {
		t.Errorf("without a key: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := cli(t, "", "drain", process, "--key", stranger, "-c", cfg); code != exitProblem {
		t.Errorf("with a stranger's key: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := cli(t, "", "drain", process, "--key", key, "--by", "li", "-c",
		cfg); code != exitOK {
		t.Errorf("with an operator's key: exit code %d\n%s%s", code, out, errs)
	}
	eventually(t, "the signer is named", func() bool {
		for _, e := range one.Explain("clock") {
			if e.Owner == process {
				return strings.Contains(e.Why, "drained by li since")
			}
		}
		return false
	})
}
