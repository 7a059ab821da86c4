package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/skerry/skerry/internal/sshsig"
)

const allNamespaces = sshsig.Artifact + "," + sshsig.Bundle

// bundle is a bundle of two artifacts and two other files, by one signer.
func bundle(t *testing.T, by testSigner) (content []byte, store *Store) {
	t.Helper()
	s := newStore(t)
	a, b := made(t, s, "v1", by), made(t, s, "v2", by)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plan"), "plan: 1\n", 0o600)
	write(t, filepath.Join(dir, "skerry"), "\x7fELF", 0o755)
	var out bytes.Buffer
	_, err := s.WriteBundle(t.Context(), &out, BundleInput{Cluster: "site-2", Artifacts: []Digest{b.Digest, a.Digest},
		Files: map[string]string{"plan.yaml": filepath.Join(dir, "plan"),
			"skerry/linux-amd64/skerry": filepath.Join(dir, "skerry")}}, by)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), s
}

// TestBundle: what one store writes another one has after the import, proved and whole.
func TestBundle(t *testing.T) {
	li := newSigner("li")
	trust := trusting(t, allNamespaces, li)
	content, _ := bundle(t, li)
	if again, _ := bundle(t, li); !bytes.Equal(content, again) {
		t.Error("the same input makes other bytes")
	}
	shown, err := ReadBundle(t.Context(), bytes.NewReader(content), trust, trust)
	if err != nil || len(shown.Artifacts) != 2 || len(shown.Others()) != 2 || shown.Signer != "li" ||
		shown.Cluster != "site-2" || len(shown.Doubts) > 0 {
		t.Errorf("shown: %+v, %v", shown, err)
	}
	if _, err := VerifyBundle(t.Context(), bytes.NewReader(content), trust, trust); err != nil {
		t.Error(err)
	}
	s := newStore(t)
	b, err := s.Import(t.Context(), iotest.OneByteReader(bytes.NewReader(content)), trust, trust)
	if err != nil {
		t.Fatal(err)
	}
	if got := versions(t, s); got != "v2 v1" {
		t.Errorf("imported: %s", got)
	}
	for _, a := range b.Artifacts {
		if _, err := s.Verify(t.Context(), a.Digest, trust); err != nil {
			t.Error(err)
		}
	}
	plan, err := os.ReadFile(filepath.Join(s.BundleDir(b), "plan.yaml"))
	if string(plan) != "plan: 1\n" || err != nil {
		t.Errorf("plan: %q, %v", plan, err)
	}
	if info, err := os.Stat(filepath.Join(s.BundleDir(b), "skerry/linux-amd64/skerry")); err != nil ||
		info.Mode().Perm() != 0o755 {
		t.Errorf("skerry: %v, %v", info, err)
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(content), trust, trust); err != nil {
		t.Errorf("a second time: %v", err)
	}
	var out bytes.Buffer
	var digests []Digest
	for _, a := range b.Artifacts {
		digests = append(digests, a.Digest)
	}
	if _, err := s.WriteBundle(t.Context(), &out, BundleInput{Artifacts: digests}, li); err != nil {
		t.Errorf("a bundle of what was imported: %v", err)
	}
}

// TestImportInterrupted: an import that ends at any place leaves a good store without any of its artifacts, and the
// next one takes what had come.
func TestImportInterrupted(t *testing.T) {
	li := newSigner("li")
	trust := trusting(t, allNamespaces, li)
	content, _ := bundle(t, li)
	s := newStore(t)
	kept := made(t, s, "v0", li)
	const end = 3 * 512 // behind the last byte of the last file: padding and the end of the tar file
	for cut := 0; cut < len(content)-end; cut += 701 {
		if _, err := s.Import(t.Context(), bytes.NewReader(content[:cut]), trust, trust); err == nil {
			t.Fatalf("%d of %d bytes were taken", cut, len(content))
		}
		if got := versions(t, s); got != "v0" {
			t.Fatalf("after %d bytes the store has %s", cut, got)
		}
	}
	if _, err := s.Verify(t.Context(), kept.Digest, trust); err != nil {
		t.Error(err)
	}
	in := &counting{from: bytes.NewReader(content)}
	b, err := s.Import(t.Context(), in, trust, trust)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range b.Artifacts {
		if _, err := s.Verify(t.Context(), a.Digest, trust); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(s.path(ownDir, "ingest"))
	if len(left) > 0 || err != nil {
		t.Errorf("left in ingest: %v, %v", left, err)
	}
}

// counting is a seekable reader.
type counting struct {
	from *bytes.Reader
	read int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.read += n
	return n, err
}

func (c *counting) Seek(offset int64, whence int) (int64, error) { return c.from.Seek(offset, whence) }

// TestImportGoesOn: an import passes over what the store has without reading it.
func TestImportGoesOn(t *testing.T) {
	li := newSigner("li")
	trust := trusting(t, allNamespaces, li)
	s := newStore(t)
	dir := program(t, "v1")
	write(t, filepath.Join(dir, "big"), strings.Repeat("0123456789abcdef", 9<<20/16), 0o644)
	a, err := s.Make(t.Context(), dir, described("v1"), li)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(a.Manifest.Files[1].Pieces); n != 3 {
		t.Errorf("9 MiB have %d pieces", n)
	}
	var out bytes.Buffer
	if _, err := s.WriteBundle(t.Context(), &out, BundleInput{Artifacts: []Digest{a.Digest}}, li); err != nil {
		t.Fatal(err)
	}
	in := &counting{from: bytes.NewReader(out.Bytes())}
	if _, err := s.Import(t.Context(), in, trust, trust); err != nil || in.read > 1<<20 {
		t.Errorf("%d bytes of %d were read, %v", in.read, out.Len(), err)
	}
}

// TestImportMends: a blob that the disk has changed is replaced by an import.
func TestImportMends(t *testing.T) {
	li := newSigner("li")
	trust := trusting(t, allNamespaces, li)
	content, s := bundle(t, li)
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.blobPath(all[0].Manifest.Files[0].Digest), "#!/bin/sh\necho v7\n", 0o600)
	if _, err := s.Verify(t.Context(), all[0].Digest, trust); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(content), trust, trust); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), all[0].Digest, trust); err != nil {
		t.Error(err)
	}
}

// TestImportsBeside: imports of one bundle and collections of garbage at the same time leave one good store.
func TestImportsBeside(t *testing.T) {
	li := newSigner("li")
	trust := trusting(t, allNamespaces, li)
	content, _ := bundle(t, li)
	dir := filepath.Join(t.TempDir(), "store")
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			s, err := Open(dir, Options{})
			if err == nil {
				_, err = s.Import(t.Context(), bytes.NewReader(content), trust, trust)
			}
			if err == nil {
				_, _, err = s.GC(t.Context(), Garbage{Keep: 2, Age: time.Hour})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if len(all) != 2 || err != nil {
		t.Errorf("%d artifacts, %v", len(all), err)
	}
	for _, a := range all {
		if _, err := s.Verify(t.Context(), a.Digest, trust); err != nil {
			t.Error(err)
		}
	}
}

// TestPathsCostLittle: hostile lists of deep paths take neither much time nor much memory.
func TestPathsCostLittle(t *testing.T) {
	var deep []string
	for i := range 20_000 {
		deep = append(deep, strings.Repeat(fmt.Sprintf("%d/", i), 60)+"x")
	}
	if err := checkPaths(deep); err == nil || !strings.Contains(err.Error(), "files and directories") {
		t.Errorf("got %v", err)
	}
}

// TestImportRefuses: keys that are not trusted, a version with other content, and a disk without room. The store
// stays as it was.
func TestImportRefuses(t *testing.T) {
	li, wang := newSigner("li"), newSigner("wang")
	content, _ := bundle(t, li)
	both := trusting(t, allNamespaces, li)
	for name, c := range map[string]struct {
		builders, operators *Signers
		prepare             func(*Store)
		want                error
	}{
		"nobody trusts it":   {nil, nil, nil, ErrUntrusted},
		"a strange bundle":   {both, trusting(t, allNamespaces, wang), nil, ErrUntrusted},
		"a strange builder":  {trusting(t, allNamespaces, wang), both, nil, ErrUntrusted},
		"not for bundles":    {both, trusting(t, sshsig.Artifact, li), nil, ErrUntrusted},
		"not for artifacts":  {trusting(t, sshsig.Bundle, li), both, nil, ErrUntrusted},
		"no room":            {both, both, func(s *Store) { s.options.Floor = 1 << 60 }, ErrFull},
		"another cluster":    {both, both, func(s *Store) { s.options.Cluster = "site-3" }, nil},
		"another v2 is here": {both, both, func(s *Store) { made(t, s, "v2", nil) }, nil},
		"other content": {both, both, func(s *Store) {
			if _, err := s.Make(t.Context(), program(t, "other"), described("v2"), nil); err != nil {
				t.Fatal(err)
			}
		}, ErrConflict},
	} {
		s := newStore(t)
		if c.prepare != nil {
			c.prepare(s)
		}
		before := versions(t, s)
		_, err := s.Import(t.Context(), bytes.NewReader(content), c.builders, c.operators)
		if c.want == nil && (err == nil) == (name == "another cluster") || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after := versions(t, s); err != nil && after != before {
			t.Errorf("%s: the store has %q, had %q", name, after, before)
		}
	}
}

// entry is one entry of a tar file that a test changes.
type entry struct {
	head    tar.Header
	content []byte
}

func unpacked(t *testing.T, content []byte) (all []entry) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{*h, body})
	}
}

func packed(t *testing.T, all []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range all {
		if e.head.Typeflag == tar.TypeReg {
			e.head.Size = int64(len(e.content))
		}
		if err := w.WriteHeader(&e.head); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestHostileBundles: no change of a signed bundle is taken, and nothing is written outside of the store.
func TestHostileBundles(t *testing.T) {
	li := newSigner("li")
	trust := trusting(t, allNamespaces, li)
	content, _ := bundle(t, li)
	last := len(unpacked(t, content)) - 1
	plain := func(name, text string) entry {
		return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, []byte(text)}
	}
	of := func(kind byte, name, to string) entry {
		return entry{tar.Header{Name: name, Linkname: to, Typeflag: kind, Mode: 0o644}, nil}
	}
	add := func(at int, e entry) func([]entry) []entry {
		return func(all []entry) []entry { return append(append(append([]entry{}, all[:at]...), e), all[at:]...) }
	}
	for name, edit := range map[string]func([]entry) []entry{
		"a path outside":    add(last, plain("../../etc/cron.d/x", "x")),
		"an absolute path":  add(last, plain("/etc/cron.d/x", "x")),
		"a symbolic link":   add(last, of(tar.TypeSymlink, "blobs/sha256/x", "/etc")),
		"a hard link":       add(last, of(tar.TypeLink, "x", "/etc/passwd")),
		"a device":          add(last, of(tar.TypeBlock, "x", "")),
		"a pipe":            add(last, of(tar.TypeFifo, "x", "")),
		"a directory":       add(last, of(tar.TypeDir, "blobs/", "")),
		"another file":      add(last+1, plain("more", "x")),
		"a file twice":      func(all []entry) []entry { return append(all, all[last]) },
		"a list twice":      func(all []entry) []entry { return append(all[:1], all...) },
		"a file is missing": func(all []entry) []entry { return all[:last] },
		"other order":       func(all []entry) []entry { all[last], all[last-1] = all[last-1], all[last]; return all },
		"another case": func(all []entry) []entry {
			all[last].head.Name = strings.ToUpper(all[last].head.Name)
			return all
		},
		"other content": func(all []entry) []entry { all[last].content[0]++; return all },
		"longer":        func(all []entry) []entry { all[last].content = append(all[last].content, 0); return all },
		"shorter":       func(all []entry) []entry { all[last].content = all[last].content[1:]; return all },
		"another list": func(all []entry) []entry {
			all[2].content = bytes.Replace(all[2].content, []byte("site-2"), []byte("site-3"), 1)
			return all
		},
		"another index": func(all []entry) []entry {
			all[4].content = bytes.Replace(all[4].content, []byte("auth/v1"), []byte("auth/v9"), 1)
			return all
		},
		"PAX": func(all []entry) []entry {
			all[last].head.Format = tar.FormatPAX
			all[last].head.PAXRecords = map[string]string{"SKERRY.x": "y"}
			return all
		},
		"GNU": func(all []entry) []entry { all[last].head.Format = tar.FormatGNU; return all },
	} {
		hostile := packed(t, edit(unpacked(t, content)))
		s := newStore(t)
		if _, err := s.Import(t.Context(), bytes.NewReader(hostile), trust, trust); err == nil {
			t.Errorf("%s: it was taken", name)
		}
		if _, err := VerifyBundle(t.Context(), bytes.NewReader(hostile), trust, trust); err == nil {
			t.Errorf("%s: it was verified", name)
		}
		if got := versions(t, s); got != "" {
			t.Errorf("%s: the store has %s", name, got)
		}
	}
	if _, err := VerifyBundle(t.Context(), bytes.NewReader(append(content, "more"...)), trust, trust); err == nil {
		t.Error("a tail was taken")
	}
}

// resigned makes a bundle of other lists that a trusted key signs: what a builder that was broken into can do.
func resigned(t *testing.T, content []byte, by testSigner, edit func(*Bundle, []entry) []entry) []byte {
	t.Helper()
	all := unpacked(t, content)
	b, err := parseBundle(all[2].content)
	if err != nil {
		t.Fatal(err)
	}
	all = edit(&b, all)
	all[2].content, err = b.encode()
	if err != nil {
		t.Fatal(err)
	}
	all[0].content = sums(append([]File{{Path: bundleFile, Digest: digestOf(all[2].content)}}, b.Files...))
	signature, err := by.Sign(sshsig.Bundle, all[0].content)
	if err != nil {
		t.Fatal(err)
	}
	all[1].content = sshsig.Armor(signature)
	return packed(t, all)
}

// TestSignedHostileBundles: also a trusted signature brings no file out of its place, and no size beyond the limits.
func TestSignedHostileBundles(t *testing.T) {
	li := newSigner("li")
	trust := trusting(t, allNamespaces, li)
	content, _ := bundle(t, li)
	last := func(b *Bundle) *File { return &b.Files[len(b.Files)-1] }
	rename := func(name string) func(*Bundle, []entry) []entry {
		return func(b *Bundle, all []entry) []entry {
			last(b).Path = name
			all[len(all)-1].head.Name = name
			return all
		}
	}
	for name, c := range map[string]struct {
		edit func(*Bundle, []entry) []entry
		want string
	}{
		"outside":    {rename("../x"), "leads elsewhere"},
		"absolute":   {rename("/x"), "absolute"},
		"a device":   {rename("nul"), "device"},
		"a stream":   {rename("a:b"), "Windows"},
		"case":       {rename("PLAN.yaml"), "case"},
		"a reserved": {rename("bundle.json"), "twice"},
		"not ASCII": {func(b *Bundle, all []entry) []entry { last(b).Path = "计划"; return all },
			"ASCII"},
		"needs": {func(b *Bundle, all []entry) []entry { b.Needs = []string{"moon"}; return all },
			"moon"},
		"another format": {func(b *Bundle, all []entry) []entry { b.Format = 2; return all }, "format 2"},
		"a huge size":    {func(b *Bundle, all []entry) []entry { last(b).Size = 1 << 62; return all }, "at most"},
		"a negative":     {func(b *Bundle, all []entry) []entry { last(b).Size = -1; return all }, "at most"},
		"a blob that no artifact has": {func(b *Bundle, all []entry) []entry {
			f := small(blobsDir+digestOf([]byte("x")).Hex(), []byte("x")).file
			b.Files = append(b.Files, f)
			return append(all, entry{tar.Header{Name: f.Path, Typeflag: tar.TypeReg}, []byte("x")})
		}, "no artifact"},
		"a blob is missing": {func(b *Bundle, all []entry) []entry {
			at := len(b.Files) - 3 // the last blob
			b.Files = append(b.Files[:at], b.Files[at+1:]...)
			return append(all[:at+3], all[at+4:]...)
		}, "lacks"},
	} {
		hostile := resigned(t, content, li, c.edit)
		s := newStore(t)
		_, err := s.Import(t.Context(), bytes.NewReader(hostile), trust, trust)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, wanted is %q", name, err, c.want)
		}
	}
}

// TestStockTools: tar, sha256sum and ssh-keygen -Y verify check a bundle, and ssh-keygen's own signature counts.
func TestStockTools(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("the stock tools are those of Linux")
		return
	}
	dir := t.TempDir()
	run := func(in []byte, name string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir, c.Stdin = dir, bytes.NewReader(in)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run(nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "zhao", "-f", "zhao")
	public, err := os.ReadFile(filepath.Join(dir, "zhao.pub"))
	if err != nil {
		t.Fatal(err)
	}
	li := newSigner("li")
	signers := fmt.Sprintf("li namespaces=%q %s\nzhao namespaces=%q %s", allNamespaces, li.public(), allNamespaces,
		public)
	write(t, filepath.Join(dir, "signers"), signers, 0o600)

	content, s := bundle(t, li)
	run(content, "tar", "xf", "-")
	run(nil, "sha256sum", "--strict", "-c", "SHA256SUMS")
	list, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	run(list, "ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "li", "-n", sshsig.Bundle, "-s", "SHA256SUMS.sig")

	a, err := s.Find("auth", "v1", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(s.blobPath(a.Digest))
	if err != nil {
		t.Fatal(err)
	}
	armored, err := s.signatures(a.Digest)
	if err != nil || len(armored) != 1 {
		t.Fatalf("%d signatures, %v", len(armored), err)
	}
	write(t, filepath.Join(dir, "a.sig"), string(armored[0]), 0o600)
	run(manifest, "ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "li", "-n", sshsig.Artifact, "-s", "a.sig")

	write(t, filepath.Join(dir, "manifest"), string(manifest), 0o600)
	run(nil, "ssh-keygen", "-q", "-Y", "sign", "-f", "zhao", "-n", sshsig.Artifact, "manifest")
	theirs, err := os.ReadFile(filepath.Join(dir, "manifest.sig"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := s.AddSignature(t.Context(), a.Digest, theirs); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "zhao.signers"), fmt.Sprintf("zhao namespaces=%q %s", sshsig.Artifact, public), 0o600)
	zhao, err := ReadSigners(filepath.Join(dir, "zhao.signers"))
	if err != nil {
		t.Fatal(err)
	}
	if name, err := s.Verify(t.Context(), a.Digest, zhao); name != "zhao" || err != nil {
		t.Errorf("verified as %q, %v", name, err)
	}
	damaged := bytes.Replace(theirs, []byte("U1NIU0lH"), []byte("U1NIU0lI"), 1)
	if err := s.AddSignature(t.Context(), a.Digest, damaged); err == nil {
		t.Error("a damaged signature was added")
	}
}

// FuzzBundle: no bytes make a bundle without the right key, take much memory, or panic.
func FuzzBundle(f *testing.F) {
	content := fuzzedBundle(f)
	f.Add(content)
	f.Add(content[:len(content)/2])
	f.Add([]byte("SHA256SUMS"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ReadBundle(context.Background(), bytes.NewReader(data), nil, nil)
		if err == nil && len(b.Doubts) == 0 {
			t.Error("it is trusted without any key")
		}
		if _, err := VerifyBundle(context.Background(), bytes.NewReader(data), nil, nil); err == nil {
			t.Error("it was verified without any key")
		}
	})
}

func fuzzedBundle(f *testing.F) []byte {
	dir := f.TempDir()
	s, err := Open(filepath.Join(dir, "store"), Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "auth"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		f.Fatal(err)
	}
	a, err := s.Make(f.Context(), filepath.Join(dir, "auth"), described("v1"), newSigner("li"))
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	in := BundleInput{Artifacts: []Digest{a.Digest}}
	if _, err := s.WriteBundle(f.Context(), &out, in, newSigner("li")); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}

// FuzzManifest: a manifest that is read is valid, and is written and read again as the same.
func FuzzManifest(f *testing.F) {
	m := described("v1")
	m.Format, m.Run = manifestFormat, m.Run.withDefaults()
	m.Files = []File{{Path: "auth", Executable: true, Digest: digestOf(nil)}}
	text, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		text, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseManifest(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		second, err := again.encode()
		if err != nil || !bytes.Equal(text, second) {
			t.Errorf("%s\nand\n%s", text, second)
		}
	})
}

// FuzzPaths: paths that are taken stay below their directory.
func FuzzPaths(f *testing.F) {
	f.Add("a/b", "A")
	f.Add("../a", "nul")
	f.Fuzz(func(t *testing.T, a, b string) {
		if checkPaths([]string{a, b}) != nil {
			return
		}
		for _, p := range []string{a, b} {
			if !filepath.IsLocal(p) || strings.ContainsAny(p, `\:`) {
				t.Errorf("%q was taken", p)
			}
		}
		if strings.EqualFold(a, b) {
			t.Errorf("%q and %q were taken", a, b)
		}
	})
}

// FuzzSignedHead: behind a trusted signature the index and the manifests may hold anything. What is taken is valid, and
// is imported and verified as it says.
func FuzzSignedHead(f *testing.F) {
	content := fuzzedBundle(f)
	li := newSigner("li")
	file := filepath.Join(f.TempDir(), "builders")
	text := fmt.Sprintf("li namespaces=%q %s\n", allNamespaces, li.public())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	trust, err := ReadSigners(file)
	if err != nil {
		f.Fatal(err)
	}
	for at, e := range unpackedBytes(content) {
		if at > 2 {
			f.Add(at, e.content)
		}
	}
	f.Fuzz(func(t *testing.T, at int, text []byte) {
		all := unpackedBytes(content)
		if at < 3 || at >= len(all) {
			return
		}
		all[at].content = text
		var b Bundle
		b.Format = bundleFormat
		for i, e := range all[3:] {
			if i == at-3 && strings.HasPrefix(e.head.Name, blobsDir) {
				all[at].head.Name = blobsDir + digestOf(text).Hex()
			}
			b.Files = append(b.Files, small(all[i+3].head.Name, all[i+3].content).file)
		}
		hostile := resigned(t, packed(t, all), li, func(old *Bundle, all []entry) []entry { *old = b; return all })
		shown, err := VerifyBundle(t.Context(), bytes.NewReader(hostile), trust, trust)
		if err != nil {
			return
		}
		for _, a := range shown.Artifacts {
			if err := a.Manifest.validate(); err != nil || a.Signer == "" {
				t.Errorf("%v by %q", err, a.Signer)
			}
		}
	})
}

// unpackedBytes is unpacked for a bundle that is good.
func unpackedBytes(content []byte) (all []entry) {
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if err != nil {
			return all
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return all
		}
		all = append(all, entry{*h, body})
	}
}
