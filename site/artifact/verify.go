package artifact

import (
	"context"
	"errors"
	"fmt"

	"github.com/skerry/skerry/internal/sshsig"
)

// Verify checks an artifact as a host does before it runs it: a trusted key has signed it, and every blob has the
// content that the signature covers. It returns the name of the signer. Nothing outside of the store is asked.
func (s *Store) Verify(ctx context.Context, d Digest, builders *Signers) (signer string, err error) {
	a, err := s.Get(d)
	if err != nil {
		return "", err
	}
	if signer, err = s.Trusted(d, builders); err != nil {
		return "", err
	}
	var damaged []error
	for _, b := range a.outer.blobs() {
		if err := checkFile(ctx, s.blobPath(b.Digest), b); err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			damaged = append(damaged, err)
		}
	}
	if len(damaged) > 0 {
		return "", fmt.Errorf("%w: of %s %d of %d blobs are missing or changed; import it again; the first: %w",
			ErrDamaged, a.Manifest.Name(), len(damaged), len(a.outer.blobs()), damaged[0])
	}
	return signer, nil
}

// Trusted returns the name of the first signer of an artifact that is trusted now. It does not read the files.
func (s *Store) Trusted(d Digest, builders *Signers) (signer string, err error) {
	x, err := s.readIndex()
	if err != nil {
		return "", err
	}
	i := x.find(d)
	if i < 0 {
		return "", fmt.Errorf("%w: %s", ErrNotFound, d)
	}
	text, err := s.readBlob(x.Manifests[i], maxOCI)
	if err != nil {
		return "", err
	}
	signatures, err := s.signatures(d)
	if err != nil {
		return "", err
	}
	return trusted(d, text, signatures, builders)
}

// trusted returns the first trusted signer of an outer manifest.
func trusted(d Digest, text []byte, signatures [][]byte, builders *Signers) (string, error) {
	var why []error
	for _, armored := range signatures {
		name, err := builders.check(sshsig.Artifact, text, armored)
		if err == nil {
			return name, nil
		}
		why = append(why, err)
	}
	if len(why) == 0 {
		return "", fmt.Errorf("%w: %s is not signed; sign it with: skerry artifact sign", ErrUntrusted, d.Short())
	}
	return "", fmt.Errorf("%w of %s: %w", ErrUntrusted, d.Short(), errors.Join(why...))
}

// signatures are the armored signatures of an artifact.
func (s *Store) signatures(d Digest) (all [][]byte, err error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	for _, e := range x.signatures(d) {
		text, err := s.readBlob(e, maxOCI)
		if err != nil {
			return nil, err
		}
		m, err := parseSignature(text, d)
		if err != nil {
			return nil, err
		}
		armored, err := s.readBlob(m.Layers[0], maxSignature)
		if err != nil {
			return nil, err
		}
		all = append(all, armored)
	}
	return all, nil
}

// signatures are the entries of the signatures of an artifact.
func (x ociIndex) signatures(d Digest) (all []descriptor) {
	for _, e := range x.Manifests {
		if e.ArtifactType == signatureType && e.Annotations[subjectNote] == string(d) && len(all) < maxSignatures {
			all = append(all, e)
		}
	}
	return all
}

func parseSignature(text []byte, subject Digest) (ociManifest, error) {
	m, err := parseOCI(text, signatureType)
	switch {
	case err != nil:
		return m, err
	case m.Subject == nil || m.Subject.Digest != subject || len(m.Layers) != 1:
		return m, fmt.Errorf("a signature is not of %s", subject.Short())
	}
	return m, nil
}
