package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// workshop is a host with stock tools, a builder's key, a store, and a file of builders.
type workshop struct {
	t                          *testing.T
	dir, key, builders, config string
}

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	t.Setenv("HOME", t.TempDir()) // no file of the user counts
	w := workshop{t: t, dir: t.TempDir(), config: writeConfig(t, "cluster: launch-site-2\n")}
	w.key, w.builders = filepath.Join(w.dir, "li"), filepath.Join(w.dir, "builders")
	w.keygen(nil, "-q", "-t", "ed25519", "-N", "", "-C", "li@ops-1", "-f", w.key)
	want(t, "", exitOK, "skerry-artifact", "", "operator", "add", "li", w.key+".pub", "--file", w.builders,
		"--namespaces", "skerry-artifact,skerry-bundle", "-c", w.config)
	return w
}

// keygen runs the stock ssh-keygen.
func (w workshop) keygen(in []byte, args ...string) {
	w.t.Helper()
	c := exec.CommandContext(w.t.Context(), "ssh-keygen", args...)
	c.Stdin, c.Dir = bytes.NewReader(in), w.dir
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
}

// program makes a directory with a program of a version.
func (w workshop) program(version string) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "dist")
	text := "#!/bin/sh\necho auth " + version + "\n"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "auth"), []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// run runs skerry with a store of the workshop.
func (w workshop) run(code int, says, complains, store string, args ...string) string {
	w.t.Helper()
	return want(w.t, "", code, says, complains, append(args, "--store", filepath.Join(w.dir, store), "--builders",
		w.builders, "--floor", "0", "-c", w.config)...)
}

// TestArtifactToSite: a builder makes and signs two versions and a bundle; a site imports it from a stick, verifies and
// unpacks what runs.
func TestArtifactToSite(t *testing.T) {
	w := newWorkshop(t)
	recipe := filepath.Join(w.dir, "artifact.yaml")
	writeText(t, recipe, `service: auth
platform: linux/amd64
source: {repo: "git@ops-1:auth.git", commit: 9c1f03e}
run: {command: ./auth, args: ["-listen", ":${port}"], ports: [main], check: tcp, stop: {signal: int, after: 10s}}
`)
	for _, v := range []string{"v1", "v2"} {
		w.run(exitOK, "signed by", "", "made", "artifact", "make", w.program(v), "-f", recipe, "--version", v, "--key",
			w.key)
	}
	w.run(exitProblem, "", "give what was changed a new version", "made", "artifact", "make", w.program("other"), "-f",
		recipe, "--version", "v2", "--key", w.key)
	w.run(exitProblem, "", "the variable ${prot} is not known", "made", "artifact", "make", w.program("v3"),
		"--service", "auth", "--version", "v3", "--command", "./auth", "--key", w.key, "--", "${prot}")
	shown := w.run(exitOK, "./auth -listen :${port}", "", "made", "artifact", "show", "auth/v2")
	for _, part := range []string{"li", "9c1f03e", "killed after 10s", "program"} {
		if !strings.Contains(shown, part) {
			t.Errorf("show does not say %q:\n%s", part, shown)
		}
	}

	writeText(t, filepath.Join(w.dir, "plan.yaml"), "plan: 1\n")
	writeText(t, filepath.Join(w.dir, "site.yaml"), `cluster: launch-site-2
artifacts: [auth/v1, auth/v2]
platforms: [linux/amd64]
plan: plan.yaml
`)
	stick := filepath.Join(w.dir, "site.skb")
	w.run(exitOK, "auth", "", "made", "bundle", "make", filepath.Join(w.dir, "site.yaml"), "-o", stick, "--key", w.key)
	first, err := os.ReadFile(stick)
	if err != nil {
		t.Fatal(err)
	}
	w.run(exitOK, "auth", "", "made", "bundle", "make", filepath.Join(w.dir, "site.yaml"), "-o", stick, "--key", w.key)
	if second, err := os.ReadFile(stick); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the bundle has other bytes when it is made again, %v", err)
	}
	w.run(exitOK, "plan.yaml", "", "site", "bundle", "show", stick)
	w.run(exitOK, "signed by li", "", "site", "bundle", "verify", stick)
	w.run(exitProblem, "", "is for the cluster launch-site-2", "site", "bundle", "import", stick, "--cluster", "other")
	w.run(exitOK, "the files are in", "", "site", "bundle", "import", stick)
	w.run(exitOK, "good, signed by li", "", "site", "artifact", "verify", "--all")
	unpacked := filepath.Join(w.dir, "v2")
	w.run(exitOK, "1 file with", "", "site", "artifact", "unpack", "auth/v2", unpacked)
	if out, err := exec.Command(filepath.Join(unpacked, "auth")).Output(); string(out) != "auth v2\n" || err != nil {
		t.Errorf("it says %q, %v", out, err)
	}
	w.run(exitProblem, "", "name a new directory", "site", "artifact", "unpack", "auth/v2", unpacked)

	var list struct{ Artifacts []artifactRow }
	text := w.run(exitOK, "", "", "site", "artifact", "ls", "--json")
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Artifacts) != 2 ||
		list.Artifacts[0].SignedBy != "li" {
		t.Errorf("artifact ls --json: %s, %v", text, err)
	}
	w.run(exitOK, "mission 7", "", "site", "artifact", "pin", "auth/v1", "--reason", "mission 7")
	w.run(exitOK, "0 B freed", "", "site", "artifact", "gc", "--keep", "1", "--age", "0s")
	w.run(exitOK, "", "", "site", "artifact", "unpin", "auth/v1", "--reason", "mission 7")
	w.run(exitOK, "would be removed", "", "site", "artifact", "gc", "--keep", "1", "--age", "0s", "--dry-run")
	w.run(exitOK, "is removed", "", "site", "artifact", "gc", "--keep", "1", "--age", "0s")
	if text := w.run(exitOK, "auth", "", "site", "artifact", "ls"); strings.Count(text, "\n") != 2 {
		t.Errorf("left:\n%s", text)
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestArtifactOfStrangers: what no builder of the site has signed is not imported, verified or unpacked, whatever key
// the store's own host trusts.
func TestArtifactOfStrangers(t *testing.T) {
	w := newWorkshop(t)
	other := filepath.Join(w.dir, "wang")
	w.keygen(nil, "-q", "-t", "ed25519", "-N", "", "-f", other)
	w.run(exitProblem, "", "belongs to no operator", "made", "artifact", "make", w.program("v1"), "--service", "auth",
		"--version", "v1", "--command", "./auth", "--key", other)
	strange := filepath.Join(w.dir, "strange")
	want(t, "", exitOK, "wang", "", "operator", "add", "wang", other+".pub", "--file", strange, "--namespaces",
		"skerry-artifact,skerry-bundle", "-c", w.config)
	stick := filepath.Join(w.dir, "strange.skb")
	theirs := func(args ...string) {
		t.Helper()
		want(t, "", exitOK, "wang", "", append(args, "--store", filepath.Join(w.dir, "theirs"), "--builders", strange,
			"--key", other, "--floor", "0", "-c", w.config)...)
	}
	theirs("artifact", "make", w.program("v1"), "--service", "auth", "--version", "v1", "--command", "./auth")
	theirs("bundle", "make", "auth/v1", "-o", stick)
	w.run(exitOK, "not trusted", "", "site", "bundle", "show", stick)
	w.run(exitProblem, "", "may not sign skerry-bundle", "site", "bundle", "verify", stick)
	w.run(exitProblem, "", "may not sign skerry-bundle", "site", "bundle", "import", stick)
	w.run(exitOK, "has no artifact", "", "site", "artifact", "ls")
	w.run(exitProblem, "refused", "", "theirs", "artifact", "verify", "auth/v1")
	w.run(exitProblem, "", "no trusted signature", "theirs", "artifact", "unpack", "auth/v1",
		filepath.Join(w.dir, "v1"))
	if _, err := os.Lstat(filepath.Join(w.dir, "v1")); err == nil {
		t.Error("it was unpacked")
	}
	w.builders = filepath.Join(w.dir, "none")
	w.run(exitProblem, "", "there is no file of builders "+w.builders+", so nothing is trusted", "site", "bundle",
		"import", stick)
}

// TestArtifactSignedByKeygen: an artifact that skerry left unsigned is signed by the stock ssh-keygen, and the stock
// ssh-keygen checks what skerry has signed.
func TestArtifactSignedByKeygen(t *testing.T) {
	w := newWorkshop(t)
	w.run(exitOK, "is not signed", "", "made", "artifact", "make", filepath.Join(w.program("v1"), "auth"), "--service",
		"auth", "--version", "v1", "--platform", "any", "--unsigned")
	w.run(exitProblem, "refused", "", "made", "artifact", "verify", "auth/v1")
	var shown artifactRow
	text := w.run(exitOK, "", "", "made", "artifact", "show", "auth/v1", "--json")
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(shown.File)
	if err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(w.dir, "manifest")
	writeText(t, manifest, string(signed))
	w.keygen(nil, "-q", "-Y", "sign", "-f", w.key, "-n", "skerry-release", manifest)
	w.run(exitProblem, "", "namespace", "made", "artifact", "sign", "auth/v1", "--signature", manifest+".sig")
	if err := os.Remove(manifest + ".sig"); err != nil {
		t.Fatal(err)
	}
	w.keygen(nil, "-q", "-Y", "sign", "-f", w.key, "-n", sshsig.Artifact, manifest)
	w.run(exitOK, "signed by    li", "", "made", "artifact", "sign", "auth/v1", "--signature", manifest+".sig")
	w.run(exitOK, "good, signed by li", "", "made", "artifact", "verify", "auth/v1")

	stick := filepath.Join(w.dir, "site.skb")
	w.run(exitOK, "auth", "", "made", "bundle", "make", "auth/v1", "-o", stick, "--key", w.key)
	c := exec.CommandContext(t.Context(), "tar", "xf", stick)
	c.Dir = w.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	sums, err := os.ReadFile(filepath.Join(w.dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	w.keygen(sums, "-Y", "verify", "-f", w.builders, "-I", "li", "-n", sshsig.Bundle, "-s", "SHA256SUMS.sig")
}

// TestDamagedArtifact: a changed byte on the disk is found, and an import of the bundle mends it.
func TestDamagedArtifact(t *testing.T) {
	w := newWorkshop(t)
	w.run(exitOK, "li", "", "made", "artifact", "make", w.program("v1"), "--service", "auth", "--version", "v1",
		"--command", "./auth", "--key", w.key)
	stick := filepath.Join(w.dir, "site.skb")
	w.run(exitOK, "auth", "", "made", "bundle", "make", "auth/v1", "-o", stick, "--key", w.key)
	s, err := artifact.Open(filepath.Join(w.dir, "made"), artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(s.Dir(), "blobs", "sha256", all[0].Manifest.Files[0].Digest.Hex()), "#!/bin/sh\nhalt\n")
	w.run(exitProblem, "import it again", "", "made", "artifact", "verify", "auth/v1")
	w.run(exitOK, "li", "", "made", "bundle", "import", stick)
	w.run(exitOK, "good", "", "made", "artifact", "verify", "auth/v1")
	content, err := os.ReadFile(stick)
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, stick, string(content[:len(content)/2]))
	w.run(exitProblem, "", "ends in the middle", "site", "bundle", "verify", stick)
	writeText(t, stick, "hello")
	w.run(exitProblem, "", "is no bundle of skerry", "site", "bundle", "import", stick)
}

// TestSitePage: the descriptions on docs/site.md are read as written there.
func TestSitePage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testdata, "..", "..", "..", "docs", "site.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yml\n")[1:]
	known := []any{&artifactRequest{}, &artifactRequest{}, &bundleRecipe{}, &plan.Plan{}}
	if len(blocks) != len(known) {
		t.Fatalf("%d blocks, %d are known", len(blocks), len(known))
	}
	for i, to := range known {
		text, _, _ := strings.Cut(blocks[i], "```")
		if _, is := to.(*plan.Plan); is {
			_, err = plan.ParseDraft("docs/site.md", []byte(text))
		} else {
			err = yamlfile.Unmarshal("docs/site.md", []byte(text), to)
		}
		if err != nil {
			t.Errorf("block %d: %v", i+1, err)
		}
	}
}
