package site

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asOther has this binary print addresses as another program, and wait for the end of its input.
const asOther = "SKERRY_SITE_TEST_OTHER"

// drawn are the addresses that each of two programs takes: enough for common ones if the programs knew nothing of
// each other.
const drawn = 300

func TestMain(m *testing.M) {
	if os.Getenv(asOther) != "" {
		for range drawn {
			addr, err := FreeAddr()
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(addr)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestFreeAddrIsGivenOnce: no address is given twice, to this program or, while it runs, to another one.
func TestFreeAddrIsGivenOnce(t *testing.T) {
	given := map[string]bool{}
	for range drawn {
		addr, err := FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		if given[addr] {
			t.Errorf("%s is given twice", addr)
		}
		given[addr] = true
	}
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), asOther+"=1")
	out, err := other.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all := strings.Fields(string(out))
	for _, addr := range all {
		if given[addr] {
			t.Errorf("%s is given to two programs", addr)
		}
	}
	if len(all) != drawn {
		t.Errorf("the other program has %d addresses, want %d", len(all), drawn)
	}
}

func newSite(t *testing.T) *Site {
	t.Helper()
	s, err := New("", t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func runShell(t *testing.T, s *Site, name, script string) *Process {
	t.Helper()
	p, err := s.Run(name, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStatesOfProcesses(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		name, script string
		act          func(*Process) error
		want         State
	}{
		{"polite", "exec sleep 60", (*Process).Stop, Stopped},
		{"killed", "exec sleep 60", (*Process).Kill, Killed},
		{"broken", "exit 3", nil, Died},
		{"retired", "exit 0", nil, Left},
	} {
		p := runShell(t, s, c.name, c.script)
		if c.act != nil {
			if when, _ := p.Ended(); !when.IsZero() {
				t.Errorf("%s: ended before anything was done to it", c.name)
			}
			if err := c.act(p); err != nil {
				t.Fatal(err)
			}
		}
		<-p.Done()
		when, err := p.Ended()
		var exit *exec.ExitError
		if when.IsZero() || errors.As(err, &exit) == (c.want == Left) || p.State() != c.want {
			t.Errorf("%s: state %s, ended %v with %v; want %s", c.name, p.State(), when, err, c.want)
		}
		p.Answered()
		if s.Find(c.name) != p || p.State() != c.want {
			t.Errorf("%s: state %s after a late answer, want %s", c.name, p.State(), c.want)
		}
	}
}

func TestWhatProcessesSayIsKept(t *testing.T) {
	s := newSite(t)
	<-runShell(t, s, "speaker", "echo out; echo err >&2").Done()
	if said, err := os.ReadFile(s.LogPath("speaker")); err != nil || string(said) != "out\nerr\n" {
		t.Errorf("log %q, %v", said, err)
	}
}
