package idl

import (
	"bytes"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/cmd/skerry/internal/gen"
)

const module = "github.com/skerry/skerry/"

// TestCurrent: the code that is committed here and in examples/historian is what both compilers write now.
func TestCurrent(t *testing.T) {
	t.Parallel()
	here := "cmd/skerry/internal/gen/internal/idl/"
	for _, c := range []struct{ dir, file, of string }{
		{".", "wide.thrift", here},
		{"../../../../../../examples/historian", "historian.thrift", "examples/historian/"},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			file, out := filepath.Join(c.dir, c.file), t.TempDir()
			compile(t, "-r", "--gen", "go:package_prefix="+module+c.of+",skip_remote", "-out", out, file)
			written := 0
			for _, at := range walk(t, out) {
				text, err := os.ReadFile(filepath.Join(out, at))
				if err == nil {
					text, err = format.Source(text)
				}
				if err != nil {
					t.Fatal(err)
				}
				compare(t, filepath.Join(c.dir, at), text)
				written++
			}
			if written < 3 {
				t.Errorf("the stock compiler wrote %d files", written)
			}
			made, err := gen.Generate(gen.Options{File: file})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, made.Path, made.Text)
		})
	}
}

// compare compares a file with what is written now.
func compare(t *testing.T, path string, now []byte) {
	t.Helper()
	have, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(have, now) {
		t.Errorf("%s is not what is written now: go generate %s", path, filepath.Dir(path))
	}
}

// walk lists the Go files below a directory.
func walk(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") {
			path, err = filepath.Rel(dir, path)
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
