package skerry_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMemoryIsMeasuredAlone: the runtime counts memory for the whole process, so a package with
// tests that bound memory runs none of them in parallel. The processes of test/guarantees and
// test/soak are measured separately.
func TestMemoryIsMeasuredAlone(t *testing.T) {
	measured, parallel := map[string]string{}, map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bench" ||
			name == "e2e" || name == "bin"),
			d.IsDir() && (filepath.ToSlash(path) == "test/guarantees" || filepath.ToSlash(path) == "test/soak"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "runtime."+"ReadMemStats(") ||
			strings.Contains(string(text), "skerry/internal/"+"memtest\"") {
			measured[filepath.Dir(path)] = path
		}
		if strings.Contains(string(text), "t."+"Parallel()") {
			parallel[filepath.Dir(path)] = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(measured) < 5 {
		t.Errorf("only %d packages that measure memory were found: %v", len(measured), measured)
	}
	for dir, path := range measured {
		if other := parallel[dir]; other != "" {
			t.Errorf("%s measures the memory of the process, and %s runs tests in parallel", path, other)
		}
	}
}
