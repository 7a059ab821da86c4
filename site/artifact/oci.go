package artifact

import (
	"encoding/json"
	"fmt"
)

// The media types of a store. The layout and the outer manifests are those of OCI image-spec 1.1, so that stock tools
// list and copy them.
const (
	indexType     = "application/vnd.oci.image.index.v1+json"
	manifestType  = "application/vnd.oci.image.manifest.v1+json"
	emptyType     = "application/vnd.oci.empty.v1+json"
	blobType      = "application/octet-stream"
	artifactType  = "application/vnd.skerry.artifact.v1"
	configType    = "application/vnd.skerry.artifact.manifest.v1+json"
	signatureType = "application/vnd.skerry.signature.v1"
	sshsigType    = "application/vnd.skerry.sshsig.v1"

	layoutFile = "oci-layout"
	layoutText = `{"imageLayoutVersion":"1.0.0"}` + "\n"
	indexFile  = "index.json"

	refName = "org.opencontainers.image.ref.name"
)

// The annotations of an entry of the index.
const (
	addedNote   = "skerry.added"   // seconds since 1970, by the clock of this host
	goodNote    = "skerry.good"    // a number that grows each time when a version has proved good
	pinsNote    = "skerry.pins"    // a JSON list of the reasons to keep it
	subjectNote = "skerry.subject" // of a signature: the digest that it signs
)

var emptyBlob = []byte("{}")

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       Digest            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Platform     *platform         `json:"platform,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// ociManifest is an artifact or a signature: config and layers are its blobs.
type ociManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
	Subject       *descriptor  `json:"subject,omitempty"`
}

// ociIndex is index.json, the one file of a store that changes.
type ociIndex struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

const (
	maxIndex     = 64 << 20 // bytes
	maxEntries   = 100_000
	maxSignature = 4 << 10 // bytes of an armored signature
	maxOCI       = 16 << 20
)

func (x ociIndex) encode() ([]byte, error) {
	x.SchemaVersion, x.MediaType = 2, indexType
	if x.Manifests == nil {
		x.Manifests = []descriptor{}
	}
	text, err := json.MarshalIndent(x, "", "  ")
	return append(text, '\n'), err
}

func parseIndex(text []byte) (x ociIndex, err error) {
	if err := decode(text, &x, 4*maxEntries); err != nil {
		return x, fmt.Errorf("%s can't be read: %w", indexFile, err)
	}
	if x.SchemaVersion != 2 || len(x.Manifests) > maxEntries {
		return x, fmt.Errorf("%s: version %d with %d entries; known is 2 with at most %d", indexFile, x.SchemaVersion,
			len(x.Manifests), maxEntries)
	}
	for _, d := range x.Manifests {
		if err := d.check(); err != nil {
			return x, fmt.Errorf("%s: %w", indexFile, err)
		}
	}
	return x, nil
}

func (d descriptor) check() error {
	if d.Size < 0 || d.Size > maxFile {
		return fmt.Errorf("%s has %d bytes, at most %d are taken", d.Digest.Short(), d.Size, int64(maxFile))
	}
	_, err := ParseDigest(string(d.Digest))
	return err
}

// parseOCI reads an outer manifest of one of our types.
func parseOCI(text []byte, kind string) (m ociManifest, err error) {
	if err := decode(text, &m, 2*maxFiles); err != nil {
		return m, fmt.Errorf("an outer manifest can't be read: %w", err)
	}
	if m.SchemaVersion != 2 || m.MediaType != manifestType || m.ArtifactType != kind {
		return m, fmt.Errorf("an outer manifest has type %.60q, wanted is %q", m.ArtifactType, kind)
	}
	if len(m.Layers) > maxFiles {
		return m, fmt.Errorf("an outer manifest has %d blobs, at most %d are taken", len(m.Layers), maxFiles)
	}
	for _, d := range m.blobs() {
		if err := d.check(); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m ociManifest) blobs() []descriptor { return append([]descriptor{m.Config}, m.Layers...) }

func (m ociManifest) encode() ([]byte, error) {
	m.SchemaVersion, m.MediaType = 2, manifestType
	return json.Marshal(m)
}

func describe(mediaType string, content []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: digestOf(content), Size: int64(len(content))}
}
