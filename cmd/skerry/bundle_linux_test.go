package main

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/internal/lab"
)

// bigBundle is a bundle with a file of some MiB.
func (w workshop) bigBundle(mib int) string {
	w.t.Helper()
	dir := w.program("v1")
	var content bytes.Buffer
	for sum := sha256.Sum256(nil); content.Len() < mib<<20; sum = sha256.Sum256(sum[:]) {
		content.Write(sum[:])
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), content.Bytes(), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.run(exitOK, "li", "", "made", "artifact", "make", dir, "--service", "auth", "--version", "v1",
		"--command", "./auth", "--key", w.key)
	stick := filepath.Join(w.dir, "site.skb")
	w.run(exitOK, "auth", "", "made", "bundle", "make", "auth/v1", "-o", stick, "--key", w.key)
	return stick
}

// TestImportKilled: an import that is killed (SIGKILL) in the middle of a file leaves a good store without the
// artifact, and the next import succeeds.
func TestImportKilled(t *testing.T) {
	w := newWorkshop(t)
	stick := w.bigBundle(8)
	content, err := os.ReadFile(stick)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "bundle", "import", "-", "--store", filepath.Join(w.dir, "site"),
		"--builders", w.builders, "--floor", "0", "-c", w.config)
	c.Env = append(os.Environ(), asProgram+"=1")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(content[:len(content)*3/4]); err != nil { // returns when all but a pipe is read
		t.Fatal(err)
	}
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	in.Close()
	left, err := filepath.Glob(filepath.Join(w.dir, "site", "skerry", "ingest", "*.part"))
	if len(left) != 1 || err != nil {
		t.Errorf("the import was not killed in the middle: %q, %v", left, err)
	}
	w.run(exitOK, "has no artifact", "", "site", "artifact", "ls")
	w.run(exitOK, "auth", "", "site", "bundle", "import", stick)
	w.run(exitOK, "good, signed by li", "", "site", "artifact", "verify", "--all")
	if left, _ := os.ReadDir(filepath.Join(w.dir, "site", "skerry", "ingest")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestImportOnFullDisk: a disk that is too small, one that fills up on the way, and one that is full already leave a
// good store and an error that says what to do. With room the import succeeds.
func TestImportOnFullDisk(t *testing.T) {
	w := newWorkshop(t)
	disk := lab.NewDisk(t, filepath.Join(w.dir, "disk"))
	stick := w.bigBundle(6)
	on := func(code int, says, complains string, args ...string) {
		t.Helper()
		want(t, "", code, says, complains, append(args, "--store", filepath.Join(disk.Dir(), "store"), "--builders",
			w.builders, "-c", w.config)...)
	}
	on(exitProblem, "", "stay free (store.floor)", "bundle", "import", stick)
	on(exitOK, "has no artifact", "", "artifact", "ls")

	fills := func() int { // as another program that writes while the import runs
		t.Helper()
		file, err := os.Open(stick)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		in := &filling{from: file, at: 3 << 20, fill: disk.Fill}
		var out, errs bytes.Buffer
		code := execute(t.Context(), []string{"bundle", "import", "-", "--store", filepath.Join(disk.Dir(), "store"),
			"--builders", w.builders, "--floor", "0", "-c", w.config}, in, &out, &errs)
		if !strings.Contains(errs.String(), "the disk has too little room") {
			t.Errorf("it says %q", errs.String())
		}
		return code
	}
	if code := fills(); code != exitProblem {
		t.Errorf("exit code %d on a disk that fills up", code)
	}
	on(exitOK, "has no artifact", "", "artifact", "ls", "--floor", "0")
	on(exitProblem, "", "too little room", "bundle", "import", stick, "--floor", "0")
	disk.Empty()
	on(exitOK, "auth", "", "bundle", "import", stick, "--floor", "0")
	on(exitOK, "good, signed by li", "", "artifact", "verify", "--all", "--floor", "0")
	on(exitProblem, "", "stay free (store.floor)", "artifact", "unpack", "auth/v1", filepath.Join(disk.Dir(), "v1"))
	if left, err := os.ReadDir(disk.Dir()); err != nil || len(left) != 2 { // lost+found and the store
		t.Errorf("on the disk: %v, %v", left, err)
	}
}

// filling calls fill when so many bytes were read.
type filling struct {
	from io.Reader
	at   int
	fill func()
}

func (f *filling) Read(p []byte) (int, error) {
	n, err := f.from.Read(p)
	if f.at -= n; f.at <= 0 && f.fill != nil {
		f.fill()
		f.fill = nil
	}
	return n, err
}
