package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/sitekey"
)

// keyHost writes the configuration of a host with a key file of its own.
func keyHost(t *testing.T) (config, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "etc", "site.key")
	return writeConfig(t, fmt.Sprintf("cluster: plant\nsite: {keys: %q}\n", file)), file
}

// want runs a command and compares its exit code, stdout and stderr.
func want(t *testing.T, stdin string, code int, outWant, errWant string, args ...string) string {
	t.Helper()
	got, out, errs := cli(t, stdin, args...)
	if got != code || !strings.Contains(out, outWant) || !strings.Contains(errs, errWant) {
		t.Errorf("skerry %s: exit code %d, want %d; stdout, wanted with %q:\n%s\nstderr, wanted with %q:\n%s",
			strings.Join(args, " "), got, code, outWant, out, errWant, errs)
	}
	return out
}

func TestKeyGoesToAnotherHost(t *testing.T) {
	one, file := keyHost(t)
	two, file2 := keyHost(t)
	for _, command := range []string{"ls", "show", "rotate"} {
		want(t, "", exitProblem, "", "skerry key new", "key", command, "-c", one)
	}
	out := want(t, "", exitOK, "skerry key show -c "+one+" | ssh HOST skerry key set", "", "key", "new", "-c", one)
	if strings.Contains(out, sitekey.Prefix) {
		t.Errorf("key new shows the key:\n%s", out)
	}
	want(t, "", exitProblem, "", "skerry key rotate", "key", "new", "-c", one)
	shown := want(t, "", exitOK, sitekey.Prefix, "", "key", "show", "-c", one)
	stored := want(t, shown, exitOK, file2+": stored", "", "key", "set", "-c", two)
	if strings.Contains(stored, sitekey.Prefix) {
		t.Errorf("key set shows the key:\n%s", stored)
	}
	a, err := os.ReadFile(file)
	b, err2 := os.ReadFile(file2)
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("the files of the two hosts differ: %v, %v", err, err2)
	}
	if info, err := os.Stat(file2); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file that was set: %v, %v", info.Mode(), err)
	}
	var listed [2]string
	for i, config := range []string{one, two} {
		listed[i], _, _ = strings.Cut(want(t, "", exitOK, "signs, verifies", "", "key", "ls", "-c", config), "  signs")
	}
	if listed[0] != listed[1] {
		t.Errorf("the hosts show different fingerprints:\n%s\n%s", listed[0], listed[1])
	}
	var doc struct{ Keys []keyRow }
	if err := json.Unmarshal([]byte(want(t, "", exitOK, "", "", "key", "ls", "--json", "-c", one)), &doc); err != nil ||
		len(doc.Keys) != 1 || doc.Keys[0].File != file || !doc.Keys[0].Signs {
		t.Errorf("key ls --json: %+v, %v", doc, err)
	}
}

func TestKeySetRefuses(t *testing.T) {
	config, file := keyHost(t)
	key, other := sitekey.New(), sitekey.New()
	want(t, "", exitUsage, "", "a key is no argument", "key", "set", key.Text(), "-c", config)
	_, out, errs := cli(t, "", "key", "set", key.Text(), "-c", config)
	if strings.Contains(out+errs, key.Text()[4:12]) {
		t.Errorf("the key of the command line is shown: %s%s", out, errs)
	}
	want(t, "correct horse", exitProblem, "", "the input is no site key", "key", "set", "-c", config)
	want(t, "", exitProblem, "", "holds no key", "key", "set", "-c", config)
	want(t, strings.Repeat("#", maxKeyText+1), exitProblem, "", "more than 65536 bytes", "key", "set", "-c", config)
	if _, err := os.Stat(file); err == nil {
		t.Fatal("a refused key was stored")
	}
	want(t, key.Text(), exitOK, key.Fingerprint(), "", "key", "set", "-c", config)
	want(t, other.Text(), exitProblem, "", "holds another key, "+key.Fingerprint(), "key", "set", "-c", config)
	want(t, other.Text()+"\n"+key.Text(), exitOK, other.Fingerprint()+", "+key.Fingerprint(), "", "key",
		"set", "-c", config)
	want(t, sitekey.New().Text(), exitOK, "stored", "", "key", "set", "--replace", "-c", config)
	if err := os.WriteFile(file, []byte("sk1-cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, key.Text(), exitProblem, "", "--replace", "key", "set", "-c", config)
	want(t, key.Text(), exitOK, "stored", "", "key", "set", "--replace", "-c", config)
}

func TestKeyElsewhere(t *testing.T) {
	open := writeConfig(t, "site: {keys: none}\n")
	for _, command := range []string{"new", "set", "show", "ls", "rotate"} {
		want(t, "", exitProblem, "", "site.keys says none", "key", command, "-c", open)
	}
	old := writeConfig(t, "cluster: plant\nlan: {key: "+lab.SiteKey+"}\n")
	want(t, "", exitOK, "lan.key", "", "key", "ls", "-c", old)
	want(t, "", exitOK, lab.SiteKey, "", "key", "show", "-c", old)
	want(t, "", exitProblem, "", "lan.key holds the key", "key", "new", "-c", old)
	want(t, "", exitProblem, "", "lan.key holds the key", "key", "rotate", "--yes", "-c", old)
	file := filepath.Join(t.TempDir(), "moved.key")
	want(t, lab.SiteKey, exitOK, file, "", "key", "set", "--out", file, "-c", old)
	want(t, "", exitProblem, "", "stays as it is", "key", "new", "--out", file, "-c", old)

	config, path := keyHost(t)
	want(t, "", exitOK, "made", "", "key", "new", "-c", config)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"ls", "show", "rotate"} {
		want(t, "", exitProblem, "", "chmod", "key", command, "-c", config)
	}
}

// TestKeyNewTakesTheFirstPlace: the first places are not writable.
func TestKeyNewTakesTheFirstPlace(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad, good := filepath.Join(inTheWay, "a.key"), filepath.Join(dir, "own", "a.key")
	line := []sitekey.Line{{Key: sitekey.New()}}
	if path, err := firstWritable([]string{bad, good}, line); err != nil || path != good {
		t.Errorf("written to %s, %v, want %s", path, err, good)
	}
	if _, err := firstWritable([]string{good}, line); err == nil || !strings.Contains(err.Error(), "stays as it is") {
		t.Errorf("a file that is there: %v", err)
	}
	if _, err := firstWritable([]string{bad}, line); err == nil || !strings.Contains(err.Error(), "--out FILE") {
		t.Errorf("no place: %v", err)
	}
}

// TestRotation runs the three steps by the file alone, like an operator that can't reach
// the members.
func TestRotation(t *testing.T) {
	config, file := keyHost(t)
	want(t, "", exitOK, "made", "", "key", "new", "-c", config)
	read := func() []keyfile.Key {
		t.Helper()
		k, err := keyfile.OpenKeys("plant", []string{file})
		if err != nil {
			t.Fatal(err)
		}
		return k.Found()
	}
	first := read()[0].Key
	want(t, "n\n", exitProblem, "add a new key", "nothing was done", "key", "rotate", "-c", config)
	if len(read()) != 1 {
		t.Fatal("a rotation that was not wanted changed the file")
	}
	want(t, "", exitUsage, "", "--yes", "key", "rotate", "--json", "-c", config)
	want(t, "y\n", exitOK, "changed", "run skerry key rotate again", "key", "rotate", "-c", config)
	two := read()
	if len(two) != 2 || two[0].Key != first {
		t.Fatalf("after the first step: %v", two)
	}
	next := two[1].Key
	want(t, "y\n", exitOK,
		"cut off every host that does not have the file of the step before: each one verifies by the key "+
			next.Fingerprint(), "", "key", "rotate", "-c", config)
	if k := read(); len(k) != 2 || k[0].Key != next || k[1].Key != first || k[1].Note != leaving {
		t.Fatalf("after the second step: %v", k)
	}
	want(t, "", exitOK, "leaving", "", "key", "ls", "-c", config)
	other, file2 := keyHost(t)
	want(t, want(t, "", exitOK, "", "", "key", "show", "-c", config), exitOK, "", "", "key", "set", "-c", other)
	if a, err := os.ReadFile(file2); err != nil || !strings.Contains(string(a), "# "+leaving) {
		t.Errorf("the mark does not go to another host: %v", err)
	}
	want(t, "", exitOK, "each one signs with the key "+next.Fingerprint(), "the rotation is over", "key", "rotate",
		"--yes", "-c", config)
	if k := read(); len(k) != 1 || k[0].Key != next || k[0].Note != "" {
		t.Fatalf("after the third step: %v", k)
	}
}

func TestRotationRefuses(t *testing.T) {
	a, b, c := sitekey.Line{Key: sitekey.New()}, sitekey.Line{Key: sitekey.New()}, sitekey.Line{Key: sitekey.New()}
	gone := a
	gone.Note = leaving
	for _, x := range []struct {
		now  []sitekey.Line
		want string
	}{
		{nil, "no key"}, {[]sitekey.Line{gone, b}, "marked as leaving"}, {[]sitekey.Line{a, b, c}, "holds 3 keys"},
	} {
		if s, err := nextRotation(x.now, sitekey.New); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%d keys: %+v, %v, want %q", len(x.now), s, err, x.want)
		}
	}
}

// hosts is a site in memory: the keys of each process.
type hosts struct {
	mu    sync.Mutex
	rings map[string][]sitekey.Key
}

func (h *hosts) set(name string, ring ...sitekey.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rings[name] = ring
}

func (h *hosts) Renew(context.Context) error { return nil }

func (h *hosts) Rings(context.Context) ([]memberRing, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []memberRing
	for name, list := range h.rings {
		out = append(out, memberRing{name, fingerprints(list)})
	}
	slices.SortFunc(out, func(a, b memberRing) int { return strings.Compare(a.Process, b.Process) })
	return out, nil
}

// TestRotationWaitsForMembers gives each step's file to one host after the other. No
// step starts before the last host has the file of the step before. At no moment two
// hosts have keys of which neither verifies the other.
func TestRotationWaitsForMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &hosts{rings: map[string][]sitekey.Key{}}
		now := []sitekey.Line{{Key: sitekey.New()}}
		for i := range 5 {
			site.set(fmt.Sprint("host-", i), now[0].Key)
		}
		consistent := func() {
			t.Helper()
			for a, ringA := range site.rings {
				for b, ringB := range site.rings {
					if !slices.Contains(ringB, ringA[0]) {
						t.Fatalf("%s signs with a key that %s does not verify", a, b)
					}
				}
			}
		}
		for step := range 3 {
			next, err := nextRotation(now, sitekey.New)
			if err != nil {
				t.Fatal(err)
			}
			late := func(names []string) { t.Errorf("step %d waits for %v", step, names) }
			if err := waitForMembers(t.Context(), site, next, late); err != nil {
				t.Fatal(err)
			}
			now = next.lines
			var ring []sitekey.Key
			for _, l := range now {
				ring = append(ring, l.Key)
			}
			coming, err := nextRotation(now, sitekey.New)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			ended := make(chan error, 1)
			go func() {
				ended <- waitForMembers(t.Context(), site, coming, func(names []string) { told = names })
			}()
			for i := range 5 {
				site.set(fmt.Sprint("host-", i), ring...)
				consistent()
				time.Sleep(rotationPeriod + time.Second)
				select {
				case err := <-ended:
					if i < 4 && step < 2 {
						t.Fatalf("step %d went on after %d of 5 hosts, %v", step, i+1, err)
					}
					ended <- err
				default:
				}
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if step < 2 && !slices.Equal(told, []string{"host-4"}) {
				t.Errorf("step %d: told last of %v, want the last host", step, told)
			}
		}
		if len(now) != 1 {
			t.Errorf("after three steps there are %d keys", len(now))
		}
	})
}

func TestRotationThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sitekey.New(), sitekey.New()
		site := &hosts{rings: map[string][]sitekey.Key{"host-1": {a, b}, "host-2": {a}}}
		step, err := nextRotation([]sitekey.Line{{Key: a}, {Key: b}}, sitekey.New)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		times := 0
		err = waitForMembers(ctx, site, step, func([]string) { times++ })
		if err == nil || !strings.Contains(err.Error(), "host-2 still lack the key "+b.Fingerprint()) || times != 1 {
			t.Errorf("%v, told %d times", err, times)
		}
	})
}

// TestRotateAsksTheMembers runs the command on a site with a slow last host.
func TestRotateAsksTheMembers(t *testing.T) {
	config, file := keyHost(t)
	a, b := sitekey.New(), sitekey.New()
	want(t, a.Text()+"\n"+b.Text(), exitOK, "stored", "", "key", "set", "-c", config)
	synctest.Test(t, func(t *testing.T) {
		site := &hosts{rings: map[string][]sitekey.Key{"host-1": {a, b}, "host-2": {a}}}
		var out, errs bytes.Buffer
		app := newApp(strings.NewReader(""), &out, &errs)
		app.openMembers = func(context.Context) (keyMembers, func(), error) { return site, func() {}, nil }
		app.flags.config = config
		ended := make(chan error, 1)
		go func() { ended <- app.keyRotate(t.Context(), &releaseFlags{yes: true}, "") }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(errs.String(), "waiting for host-2") ||
			strings.Contains(string(text), leaving) {
			t.Errorf("before host-2 has the key: %v\n%s", err, errs.String())
		}
		site.set("host-2", a, b)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		k, err := keyfile.OpenKeys("plant", []string{file})
		if err != nil || k.Ring().Keys()[0] != b {
			t.Errorf("after the step: %v, %v", k.Found(), err)
		}
	})
}
