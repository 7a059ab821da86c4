package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/registry"
)

// A bundle is a tar file in ustar form with plain files only, in this order:
//
//	SHA256SUMS           the hashes of all files below, for sha256sum -c
//	SHA256SUMS.sig       its signature, for ssh-keygen -Y verify -n skerry-bundle
//	bundle.json          a Bundle: the files below with their sizes
//	oci-layout, index.json
//	blobs/sha256/…       first what the index names, then what these name, then the files of the artifacts
//	…                    other files: plan.yaml, skerry/PLATFORM/skerry, packages/…
//
// The head, up to the files of the artifacts, is small. It is proved as a whole before anything is written.

const (
	sumsFile   = "SHA256SUMS"
	sumsSig    = sumsFile + ".sig"
	bundleFile = "bundle.json"
	blobsDir   = "blobs/sha256/"

	bundleFormat   = 1
	maxBundleFiles = 200_000
	maxBundleJSON  = 64 << 20 // bytes of bundle.json, and of SHA256SUMS
	maxHead        = 64 << 20 // bytes of the index and all manifests and signatures of a bundle
	maxOther       = 10_000   // other files
	maxBundled     = 10_000   // artifacts and signatures
	maxTarName     = 100      // bytes of a name that every tar program reads
)

// Bundle is the contents of a bundle.
type Bundle struct {
	Format  int      `json:"format"`          // 1
	Needs   []string `json:"needs,omitempty"` // what a reader must know; a reader that does not refuses the bundle
	Cluster string   `json:"cluster,omitempty"`
	Files   []File   `json:"files"` // in the order of the tar file, from oci-layout on

	Digest    Digest     `json:"-"` // of SHA256SUMS, which covers everything
	Signer    string     `json:"-"` // trusted for skerry-bundle; "" when Doubts says why not
	Artifacts []Artifact `json:"-"`
	Doubts    []string   `json:"-"` // what is not trusted, of [ReadBundle]
}

// BundleInput is what a bundle is made of.
type BundleInput struct {
	Cluster   string            // the site that it is for; "" for any
	Artifacts []Digest          // in the order in which an import adds them: the newest last
	Files     map[string]string // other files: the name in the bundle, and the path on this host
}

// Size is the number of bytes of all files.
func (b Bundle) Size() (n int64) {
	for _, f := range b.Files {
		n += f.Size
	}
	return n
}

// Others are the files that belong to no artifact.
func (b Bundle) Others() []File {
	return slices.DeleteFunc(slices.Clone(b.Files), func(f File) bool {
		return f.Path == layoutFile || f.Path == indexFile || strings.HasPrefix(f.Path, blobsDir)
	})
}

func (b Bundle) encode() ([]byte, error) {
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}

func parseBundle(text []byte) (b Bundle, err error) {
	if err := decode(text, &b, maxBundleFiles+maxNeeds); err != nil {
		return b, fmt.Errorf("%s can't be read: %w", bundleFile, err)
	}
	return b, b.validate()
}

func (b Bundle) validate() error {
	switch {
	case b.Format != bundleFormat:
		return fmt.Errorf("the bundle has format %d, and this skerry knows %d; a newer skerry may read it", b.Format,
			bundleFormat)
	case len(b.Needs) > 0:
		return fmt.Errorf("the bundle needs %.100q, which this skerry does not know; take a newer one",
			strings.Join(b.Needs[:min(maxNeeds, len(b.Needs))], ", "))
	case len(b.Files) > maxBundleFiles:
		return fmt.Errorf("the bundle has %d files, at most %d are taken", len(b.Files), maxBundleFiles)
	case len(b.Others()) > maxOther:
		return fmt.Errorf("the bundle has %d files beside artifacts, at most %d are taken", len(b.Others()), maxOther)
	case len(b.Files) < 2 || b.Files[0].Path != layoutFile || b.Files[1].Path != indexFile:
		return fmt.Errorf("the bundle does not begin with %s and %s", layoutFile, indexFile)
	}
	if b.Cluster != "" {
		if err := registry.CheckName("cluster", b.Cluster); err != nil {
			return err
		}
	}
	paths := []string{sumsFile, sumsSig, bundleFile}
	for _, f := range b.Files {
		if err := f.checkBundled(); err != nil {
			return fmt.Errorf("file %.120q: %w", f.Path, err)
		}
		paths = append(paths, f.Path)
	}
	return checkPaths(paths)
}

// checkBundled checks one file of a bundle; checkPaths checks the paths of all.
func (f File) checkBundled() error {
	if _, err := ParseDigest(string(f.Digest)); err != nil {
		return err
	}
	blob, isBlob := strings.CutPrefix(f.Path, blobsDir)
	switch {
	case f.Size < 0 || f.Size > maxFile:
		return fmt.Errorf("%d bytes, at most %d are taken", f.Size, int64(maxFile))
	case len(f.Pieces) > 0:
		return errors.New("it has pieces, which only files of artifacts have")
	case isBlob && blob != f.Digest.Hex():
		return errors.New("its name is not its digest")
	case len(f.Path) > maxTarName || strings.Trim(f.Path, printable) != "":
		return fmt.Errorf("a name in a bundle has at most %d letters, digits and signs of ASCII", maxTarName)
	}
	return nil
}

var printable = func() string {
	var b strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()

// sums is the text of SHA256SUMS.
func sums(files []File) []byte {
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "%s  %s\n", f.Digest.Hex(), f.Path)
	}
	return b.Bytes()
}

// head is the small part of a bundle: the index, and the blobs that are manifests and signatures.
type head struct {
	index ociIndex
	blobs map[Digest][]byte
}

// get is the content of a blob of the head.
func (h head) get(d descriptor) ([]byte, error) {
	content, ok := h.blobs[d.Digest]
	if !ok || int64(len(content)) != d.Size {
		return nil, fmt.Errorf("the blob %s is not where it is expected, behind the index", d.Digest.Short())
	}
	return content, nil
}

// artifacts reads and proves the artifacts of a head. Doubts are what is wrong with their signatures.
func (h head) artifacts(builders *Signers) (all []Artifact, doubts []error, err error) {
	if n := len(h.index.Manifests); n > maxBundled {
		return nil, nil, fmt.Errorf("%d artifacts and signatures, and a bundle has at most %d", n, maxBundled)
	}
	for _, e := range h.index.Manifests {
		switch e.ArtifactType {
		case artifactType:
			a, err := h.artifact(e)
			if err != nil {
				return nil, nil, err
			}
			if a.Signer, err = h.trusted(a, builders); err != nil {
				doubts = append(doubts, err)
			}
			all = append(all, a)
		case signatureType:
			if h.index.find(Digest(e.Annotations[subjectNote])) < 0 {
				return nil, nil, errors.New("a signature is of an artifact that the bundle does not have")
			}
		default:
			return nil, nil, fmt.Errorf("the index names something of type %.60q, which is no artifact", e.ArtifactType)
		}
	}
	return all, doubts, nil
}

func (h head) artifact(e descriptor) (a Artifact, err error) {
	a.Digest = e.Digest
	text, err := h.get(e)
	if err != nil {
		return a, err
	}
	if a.outer, err = parseOCI(text, artifactType); err != nil {
		return a, fmt.Errorf("%s: %w", e.Digest.Short(), err)
	}
	config, err := h.get(a.outer.Config)
	if err != nil {
		return a, err
	}
	if a.Manifest, err = parseManifest(config); err != nil {
		return a, fmt.Errorf("%s: %w", e.Digest.Short(), err)
	}
	a.entry = entryOf(e, a.Manifest) // without further annotations of the index
	return a, a.agrees()
}

func (h head) trusted(a Artifact, builders *Signers) (string, error) {
	var signatures [][]byte
	for _, e := range h.index.signatures(a.Digest) {
		text, err := h.get(e)
		if err != nil {
			return "", err
		}
		m, err := parseSignature(text, a.Digest)
		if err != nil {
			return "", err
		}
		if m.Layers[0].Size > maxSignature {
			return "", fmt.Errorf("a signature has %d bytes", m.Layers[0].Size)
		}
		armored, err := h.get(m.Layers[0])
		if err != nil {
			return "", err
		}
		signatures = append(signatures, armored)
	}
	text, err := h.get(a.entry)
	if err != nil {
		return "", err
	}
	signer, err := trusted(a.Digest, text, signatures, builders)
	if err != nil {
		return "", fmt.Errorf("%s: %w", a.Manifest.Name(), err)
	}
	return signer, nil
}

// inner returns the blobs that the manifests of the index name, without the files of artifacts.
func (h head) inner() (named []descriptor, err error) {
	for _, e := range h.index.Manifests {
		text, err := h.get(e)
		if err != nil {
			return nil, err
		}
		m, err := parseOCI(text, e.ArtifactType)
		if err != nil {
			return nil, err
		}
		named = append(named, m.Config)
		if e.ArtifactType == signatureType {
			named = append(named, m.Layers...)
		}
	}
	return unique(named), nil
}

// unique sorts blobs by their digests, and has each once.
func unique(all []descriptor) []descriptor {
	slices.SortFunc(all, func(a, b descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return slices.CompactFunc(all, func(a, b descriptor) bool { return a.Digest == b.Digest })
}

// bundleSigner returns the trusted signer of SHA256SUMS.
func bundleSigner(text, armored []byte, operators *Signers) (string, error) {
	name, err := operators.check(sshsig.Bundle, text, armored)
	if err != nil {
		return "", fmt.Errorf("%w of the bundle: %w", ErrUntrusted, err)
	}
	return name, nil
}
