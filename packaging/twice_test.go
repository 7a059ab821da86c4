package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTwice builds the packages of one platform from two copies of the tree, and then looks into them as a user would.
func TestTwice(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	tool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "dist", "-f", key)
	when := time.Unix(1_700_000_000, 0).UTC()
	var outs []string
	for range 2 {
		r := release{root: copyOfTree(t), out: t.TempDir(), version: "1.2.3-rc.1", when: when, key: key}
		if err := r.make([]string{"linux/" + runtime.GOARCH}); err != nil {
			t.Fatal(err)
		}
		outs = append(outs, r.out)
	}
	base := "skerry-1.2.3-rc.1-linux-" + runtime.GOARCH
	want := []string{"SHA256SUMS", "SHA256SUMS.sig", base + ".cdx.json", base + ".deb", base + ".rpm", base + ".tar.gz"}
	if got := names(t, outs[0]); !slices.Equal(got, want) {
		t.Fatalf("made %q, want %q", got, want)
	}
	for _, name := range want {
		if !bytes.Equal(content(t, outs[0], name), content(t, outs[1], name)) {
			t.Errorf("%s: built twice, the bytes differ", name)
		}
	}
	t.Run("sums", func(t *testing.T) { checkSums(t, outs[0], key) })
	t.Run("archive", func(t *testing.T) { checkArchive(t, filepath.Join(outs[0], base+".tar.gz"), base) })
	t.Run("deb", func(t *testing.T) { checkDeb(t, filepath.Join(outs[0], base+".deb")) })
	t.Run("sbom", func(t *testing.T) { checkSBOM(t, content(t, outs[0], base+".cdx.json")) })
	t.Run("rpm", func(t *testing.T) {
		if lead := content(t, outs[0], base+".rpm")[:4]; !bytes.Equal(lead, []byte{0xed, 0xab, 0xee, 0xdb}) {
			t.Errorf("the rpm begins with %x", lead)
		}
	})
}

// checkSums: stock tools accept the sums and their signature, and refuse other sums.
func checkSums(t *testing.T, dir, key string) {
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signers := filepath.Join(t.TempDir(), "signers")
	if err := os.WriteFile(signers, append([]byte("dist "), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(sums []byte) error {
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", signers, "-I", "dist", "-n", "file", "-s",
			filepath.Join(dir, "SHA256SUMS.sig"))
		cmd.Stdin = bytes.NewReader(sums)
		return cmd.Run()
	}
	sums := content(t, dir, "SHA256SUMS")
	if err := verify(sums); err != nil {
		t.Errorf("the signature: %v", err)
	}
	if verify(append(sums, ' ')) == nil {
		t.Error("the signature is good for other sums")
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v: %s", err, said)
	}
}

// checkArchive runs the program of the archive, and looks for what must be beside it.
func checkArchive(t *testing.T, path, top string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for in := tar.NewReader(zipped); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if files[strings.TrimPrefix(h.Name, top+"/")], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 1_700_000_000 {
			t.Errorf("%s: is of %v", h.Name, h.ModTime)
		}
	}
	for name, part := range map[string]string{"LICENSE": "Apache", "THIRD-PARTY.txt": "spf13/cobra",
		"completions/skerry.bash": "__start_skerry", "completions/skerry.zsh": "#compdef skerry",
		"completions/skerry.fish": "complete", "man/skerry-release-start.1": ".TH SKERRY",
		"systemd/skerry-gateway.service": "NoNewPrivileges=yes"} {
		if !strings.Contains(string(files[name]), part) {
			t.Errorf("%s of %d bytes lacks %q", name, len(files[name]), part)
		}
	}
	program := filepath.Join(t.TempDir(), "skerry")
	if err := os.WriteFile(program, files["skerry"], 0o755); err != nil {
		t.Fatal(err)
	}
	if said := tool(t, program, "version"); !strings.HasPrefix(said, "skerry v1.2.3-rc.1 (go") {
		t.Errorf("skerry version: %q", said)
	}
	if info, err := buildinfo.ReadFile(program); err != nil || strings.Count(string(files["THIRD-PARTY.txt"]),
		strings.Repeat("=", 80)) <= len(info.Deps) {
		t.Errorf("a licence is missing: %v", err)
	}
}

// checkDeb installs the deb below a directory.
func checkDeb(t *testing.T, path string) {
	root := t.TempDir()
	tool(t, "dpkg-deb", "--extract", path, root)
	for name, mode := range map[string]os.FileMode{"usr/bin/skerry": 0o755, "etc/skerry": os.ModeDir | 0o755,
		"usr/share/man/man1/skerry.1": 0o644, "usr/lib/systemd/system/skerry-proxy.service": 0o644,
		"usr/share/bash-completion/completions/skerry": 0o644, "usr/share/doc/skerry/copyright": 0o644} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want mode %v", name, info, err, mode)
		}
	}
	if version := tool(t, "dpkg-deb", "--field", path, "Version"); strings.TrimSpace(version) != "1.2.3~rc.1-1" {
		t.Errorf("version %q", version)
	}
}

func checkSBOM(t *testing.T, text []byte) {
	var list struct {
		BomFormat  string
		Components []component
	}
	if err := json.Unmarshal(text, &list); err != nil || list.BomFormat != "CycloneDX" {
		t.Fatalf("%v: %.200s", err, text)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(list.Components, func(c component) bool { return c.Name == name && c.Version != "" })
	}
	if !has("std") || !has("github.com/spf13/cobra") || has("github.com/goreleaser/nfpm/v2") {
		t.Errorf("the SBOM does not name what is linked: %v", list.Components)
	}
}

// TestManPage: no line of a help is taken for a request of troff.
func TestManPage(t *testing.T) {
	page := string(manPage("skerry-x", "1.0.0", time.Unix(0, 0).UTC(),
		"Shows a\\b. More.\n\nFlags:\n.so /etc/passwd\n'x -y\n"))
	want := ".TH SKERRY\\-X 1 1970-01-01 \"skerry 1.0.0\" \"skerry\"\n.SH NAME\nskerry\\-x \\- Shows a\\eb\n" +
		".SH DESCRIPTION\n.nf\nShows a\\eb. More.\n\n.fi\n.SH FLAGS\n.nf\n\\&.so /etc/passwd\n\\&'x \\-y\n.fi\n"
	if page != want {
		t.Errorf("%q\nwant %q", page, want)
	}
}

// TestRefused: what can't be packaged is refused before anything is built.
func TestRefused(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]release{
		`version "x": want MAJOR.MINOR.PATCH`: {out: t.TempDir(), version: "x"},
		"holds old: remove it first":          {out: full, version: "1.0.0"},
	} {
		if err := r.make(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// copyOfTree copies what git knows and what is new into a directory of its own.
func copyOfTree(t *testing.T) string {
	to := t.TempDir()
	list := tool(t, "git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join("..", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not yet committed
		} else if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	text, err := output("", nil, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(t *testing.T, dir string) (list []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func content(t *testing.T, dir, name string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
