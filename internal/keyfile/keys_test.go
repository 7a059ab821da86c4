package keyfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

// write writes a text into a file in place, as an editor does.
func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode),
		os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func text(keys ...sitekey.Key) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.Text() + "\n")
	}
	return b.String()
}

// home gives the process empty places, so that it does not find the keys of this host.
func home(t *testing.T) (credentials, config string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(dir, "credentials"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("HOME", dir)
	places := Places("cluster-of-this-test")
	return places[0], places[len(places)-1]
}

func TestPlaces(t *testing.T) {
	credentials, config := home(t)
	k, err := OpenKeys("cluster-of-this-test", nil)
	if err != nil || len(k.Ring().Keys()) != 0 {
		t.Fatalf("without any file: %v, %v", k.Ring().Keys(), err)
	}
	own, handed := sitekey.New(), sitekey.New()
	write(t, config, text(own), 0o600)
	if err := k.Look(); err != nil || !slices.Equal(k.Ring().Keys(), []sitekey.Key{own}) {
		t.Fatalf("a file that came later: %v, %v, want %v", k.Ring().Keys(), err, own)
	}
	write(t, credentials, text(handed), 0o600)
	k, err = OpenKeys("cluster-of-this-test", nil)
	if err != nil || !slices.Equal(k.Ring().Keys(), []sitekey.Key{handed}) || k.Found()[0].Path != credentials {
		t.Errorf("with two places: %v, %v, want only the first, %v", k.Found(), err, handed)
	}
	write(t, credentials, "sk1-abc", 0o600)
	if _, err = OpenKeys("cluster-of-this-test", nil); err == nil || !strings.Contains(err.Error(), credentials) {
		t.Errorf("a bad file in the first place: %v, want an error that names it", err)
	}
	for _, name := range []string{"", "..", "../other", "a/b", `a\b`, "C:x"} {
		if p := Places(name); p != nil {
			t.Errorf("a cluster %q has keys in %v", name, p)
		}
	}
}

func TestNamedFiles(t *testing.T) {
	home(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	a, b, c := sitekey.New(), sitekey.New(), sitekey.New()
	write(t, one, text(a), 0o600)
	if _, err := OpenKeys("x", []string{one, two}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a named file that is not there: %v", err)
	}
	write(t, two, text(b, c), 0o600)
	k, err := OpenKeys("x", []string{one, two})
	if err != nil || !slices.Equal(k.Ring().Keys(), []sitekey.Key{a, b, c}) {
		t.Fatalf("two files: %v, %v", k.Found(), err)
	}
	if f := k.Found(); f[2].Path != two || f[2].Number != 2 {
		t.Errorf("the third key stands in %s line %d", f[2].Path, f[2].Number)
	}
	write(t, two, text(a), 0o600)
	if err := k.Look(); err == nil || !strings.Contains(err.Error(), "the same key stands in "+one) {
		t.Errorf("one key in both files: %v", err)
	}
	if got := k.Ring().Keys(); len(got) != 3 {
		t.Errorf("a bad file changed the ring to %v", got)
	}
}

func TestOddFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	k := sitekey.New()
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "holds no key"},
		{"large", text(k) + strings.Repeat("#", 1<<20), "more than 65536 bytes"},
		{"half written", k.Text()[:33], "line 1: 29 letters"},
		{"binary", "\x00\x01\x02", "this is no site key"},
		{"a passphrase", "correct horse battery staple", "several words"},
	} {
		write(t, path, c.text, 0o600)
		_, err := OpenKeys("x", []string{path})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error with %q and the path", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), k.Text()[4:20]) || strings.Contains(err.Error(), "horse")) {
			t.Errorf("%s: the error quotes the file: %v", c.name, err)
		}
	}
	if _, err := OpenKeys("x", []string{dir}); err == nil || !strings.Contains(err.Error(), "a directory and no file") {
		t.Errorf("a directory: %v", err)
	}
	write(t, path, "\ufeff# of hall 2\r\n\r\n  "+k.Text()+" # old\r\n", 0o600)
	if keys, err := OpenKeys("x", []string{path}); err != nil || keys.Ring().Keys()[0] != k {
		t.Errorf("a file of Windows: %v", err)
	}
}

// TestLastGoodKeysStay tests the changes of a running process's file.
func TestLastGoodKeysStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	a, b := sitekey.New(), sitekey.New()
	write(t, path, text(a, b), 0o600)
	k, err := OpenKeys("x", []string{path})
	if err != nil {
		t.Fatal(err)
	}
	step := func(what, wantErr string, want ...sitekey.Key) {
		t.Helper()
		err := k.Look()
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s: error %v, want %q", what, err, wantErr)
		}
		if got := k.Ring().Keys(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	write(t, path, "", 0o600)
	step("emptied", "holds no key", a, b)
	step("still empty, reported already", "", a, b)
	if k.Problem() == "" {
		t.Error("Problem forgets what is wrong")
	}
	write(t, path, text(a)+b.Text()[:20], 0o600)
	step("half a line", "line 2", a, b)
	write(t, path, text(a), 0o600)
	step("one line of two", "", a, b)
	write(t, path, text(a, b), 0o600)
	step("the rest has come", "", a, b)
	write(t, path, text(b, a), 0o600)
	step("another order", "", b, a)
	write(t, path, text(b), 0o600)
	step("one taken out", "", b, a)
	step("one taken out, seen twice", "", b)
	if k.Problem() != "" {
		t.Errorf("Problem remembers %q", k.Problem())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	step("gone", "no such file", b)
	step("gone, reported already", "", b)
	c := sitekey.New()
	write(t, path, text(c), 0o600)
	step("another key", "", b)
	step("another key, seen twice", "", c)
}

// TestKeyOfAPlaceStays removes the only file of the default places.
func TestKeyOfAPlaceStays(t *testing.T) {
	_, config := home(t)
	a := sitekey.New()
	write(t, config, text(a), 0o600)
	k, err := OpenKeys("cluster-of-this-test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := k.Look(); err != nil && !strings.Contains(err.Error(), config+" is gone") {
			t.Error(err)
		}
	}
	if k.Problem() == "" || !slices.Equal(k.Ring().Keys(), []sitekey.Key{a}) {
		t.Errorf("after the file has gone: %v, problem %q", k.Ring().Keys(), k.Problem())
	}
}

func TestRunLooksEveryPeriod(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	a, b := sitekey.New(), sitekey.New()
	write(t, path, text(a), 0o600)
	synctest.Test(t, func(t *testing.T) {
		k, err := OpenKeys("x", []string{path})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var reported []string
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx, func(err error) { reported = append(reported, fmt.Sprint(err)) }) }()
		write(t, path, text(a, b), 0o600)
		changed := k.Ring().Changed()
		begun := time.Now()
		<-changed
		if took := time.Since(begun); took > Period {
			t.Errorf("a new key was seen after %v, want %v at most", took, Period)
		}
		write(t, path, "x", 0o600)
		time.Sleep(10*Period + Period/2) // from here on between two reads
		write(t, path, text(a, b), 0o600)
		time.Sleep(2 * Period)
		write(t, path, "x", 0o600)
		time.Sleep(10 * Period)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
		if len(reported) != 3 || reported[1] != "<nil>" {
			t.Errorf("reported %q, want one error for each time that the file became bad, and that it was good again",
				reported)
		}
	})
}

func TestCreateAndReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "key")
	a, b, c := sitekey.New(), sitekey.New(), sitekey.New()
	if err := CreateKeys(path, sitekey.Line{Key: a}); err != nil {
		t.Fatal(err)
	}
	if err := CreateKeys(path, sitekey.Line{Key: b}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second CreateKeys: %v", err)
	}
	k, err := OpenKeys("x", []string{path})
	if err != nil || k.Ring().Keys()[0] != a {
		t.Fatalf("what was made reads as %v, %v", k.Found(), err)
	}
	write(t, path, "# hall 2\r\n"+a.Text()+" # of 2026\r\n"+b.Text()+"\r\n# end", 0o600)
	if err := ReplaceKeys(path, []sitekey.Line{{Key: c}, {Key: a, Note: "of 2026"}}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "# hall 2\n# end\n" + c.Text() + "\n" + a.Text() + " # of 2026\n"; err != nil || string(got) != want {
		t.Errorf("ReplaceKeys left another text than wanted (%d and %d bytes), %v", len(got), len(want), err)
	}
	for _, bad := range [][]sitekey.Line{nil, {{Key: a}, {Key: a}}} {
		if err := ReplaceKeys(path, bad); err == nil {
			t.Errorf("%d keys were written that can't be read", len(bad))
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files are left behind: %v, %v", left, err)
	}
}

// If a file of operators is emptied or removed, its last operator loses its rights after two reads.
// A bad file has no such effect.
func TestTheLastOperatorGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "operators")
	li := sshsig.Operator{Name: "li", Key: sshsig.PublicKey{1}, Namespaces: sshsig.Namespaces}
	if err := AddOperator(path, li); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(){
		"emptied":       func() { write(t, path, "", 0o644) },
		"commented out": func() { write(t, path, "# "+strings.ReplaceAll(string(good), "\n", "\n# "), 0o644) },
		"gone":          func() { os.Remove(path) },
	} {
		write(t, path, string(good), 0o644)
		o, err := OpenOperators(path)
		if err != nil {
			t.Fatal(err)
		}
		trusted := func() bool { _, ok := o.Trusted().Find(li.Key, sshsig.Release); return ok }
		spoil()
		if err := o.Look(); !NoOperator(err) || !trusted() {
			t.Errorf("%s, as a file that is being replaced may be: %v, li is trusted: %v", name, err, trusted())
		}
		write(t, path, string(good), 0o644)
		if err := o.Look(); err != nil || !trusted() || o.Problem() != "" {
			t.Errorf("%s, and replaced: %v, li is trusted: %v", name, err, trusted())
		}
		spoil()
		for range 2 {
			_ = o.Look()
		}
		if trusted() || len(o.Trusted().List()) > 0 || o.Problem() == "" {
			t.Errorf("%s: li is trusted still", name)
		}
		write(t, path, "nonsense", 0o644)
		if err := o.Look(); err == nil || NoOperator(err) || trusted() {
			t.Errorf("%s, then bad: %v", name, err)
		}
		write(t, path, string(good), 0o644)
		if err := o.Look(); err != nil || !trusted() {
			t.Errorf("%s, and back again: %v, li is trusted: %v", name, err, trusted())
		}
	}
}

func TestOperators(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site", "operators")
	li := sshsig.Operator{Name: "li", Key: sshsig.PublicKey{1}, Namespaces: sshsig.Namespaces, Comment: "li@ops-1"}
	wu := sshsig.Operator{Name: "wu", Key: sshsig.PublicKey{2}, Namespaces: []string{sshsig.Policy}}
	for _, op := range []sshsig.Operator{li, wu} {
		if err := AddOperator(path, op); err != nil {
			t.Fatal(err)
		}
	}
	for _, double := range []sshsig.Operator{
		{Name: "li", Key: sshsig.PublicKey{3}, Namespaces: sshsig.Namespaces},
		{Name: "xu", Key: li.Key, Namespaces: sshsig.Namespaces},
	} {
		if err := AddOperator(path, double); err == nil {
			t.Errorf("%s was added though name or key are there already", double.Name)
		}
	}
	o, err := OpenOperators(path)
	if err != nil || !slices.Equal(o.Trusted().Names(), []string{"li", "wu"}) {
		t.Fatalf("operators %v, %v", o.Trusted().Names(), err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "li valid-before=\"2030\" x", 0o644)
	if err := o.Look(); err == nil || !strings.Contains(err.Error(), path+":1: valid-before") {
		t.Errorf("a bad file: %v", err)
	}
	if _, ok := o.Trusted().Find(li.Key, sshsig.Release); !ok || o.Problem() == "" {
		t.Error("a bad file took the operators away")
	}
	write(t, path, strings.Replace(string(good), "wu ", "# wu ", 1), 0o644)
	for range 2 {
		if err := o.Look(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := o.Trusted().Find(wu.Key, sshsig.Policy); ok || !slices.Equal(o.Trusted().Names(), []string{"li"}) {
		t.Errorf("an operator that was taken out is still trusted: %v", o.Trusted().Names())
	}
}
