package idltext

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRead: includes are found beside the file, above it and in other directories, once each; a circle ends, and no
// name tells of the host's directories.
func TestRead(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, dir, map[string]string{
		"auth/auth.thrift": "include \"../shared/types.thrift\"\n  include 'user.thrift'\ninclude \"site.thrift\"\n" +
			"// include \"none.thrift\"\ninclude \"gone.thrift\"\ninclude \"/etc/passwd\"\nservice Auth {}\n",
		"auth/user.thrift":    "include \"../shared/types.thrift\"\ninclude \"auth.thrift\"\n",
		"shared/types.thrift": "typedef i64 Id\n",
	})
	write(t, other, map[string]string{"site.thrift": "typedef i64 Site\n"})
	files, err := Read(filepath.Join(dir, "auth/auth.thrift"), other)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimPrefix(f.Name, "/1/2/3/4/5/6/7/"))
	}
	if got := strings.Join(names, " "); got != "8/auth.thrift shared/types.thrift 8/user.thrift 8/site.thrift" {
		t.Errorf("read %s", got)
	}
}

// TestReadHasBounds: too many or too large files are an error, as one that is missing.
func TestReadHasBounds(t *testing.T) {
	dir := t.TempDir()
	many := map[string]string{"large.thrift": strings.Repeat("#", MaxBytes+1)}
	for i := range MaxFiles + 1 {
		many[strings.Repeat("a", i+1)+".thrift"] = "include \"" + strings.Repeat("a", i+2) + ".thrift\"\n"
	}
	write(t, dir, many)
	for name, want := range map[string]string{"large.thrift": "256 KiB", "a.thrift": "64 files",
		"none.thrift": "none"} {
		if _, err := Read(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
