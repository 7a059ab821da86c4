package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Stage unpacks an artifact that a trusted key has signed to a directory that does not exist yet. The directory
// appears whole or not at all, also when the power fails. Its files have the mode 0644, or 0755 if they are
// executable, and every byte was compared with its digest. The error is fs.ErrExist if the directory exists: then it
// is whole. One process at a time stages to one directory.
func (s *Store) Stage(ctx context.Context, d Digest, builders *Signers, dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("stage %s: %w", dir, fs.ErrExist)
	}
	a, err := s.Get(d)
	if err != nil {
		return err
	}
	if _, err := s.Trusted(d, builders); err != nil {
		return err
	}
	// beside dir; a process that was killed may have left one
	part := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".skerry-part")
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("stage %s: %w", dir, err)
	}
	err = s.unpack(ctx, a.Manifest, part)
	if err == nil {
		err = os.Rename(part, dir)
	}
	if err != nil {
		return fmt.Errorf("stage %s: %w", dir, errors.Join(full(err), os.RemoveAll(part)))
	}
	return syncDir(filepath.Dir(dir))
}

// unpack writes the files of a manifest below a directory that it makes.
func (s *Store) unpack(ctx context.Context, m Manifest, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	have, err := free(dir)
	if err != nil {
		return err
	}
	if have-s.options.Floor < m.Size() {
		return fmt.Errorf("%w: %s has %s free, the files have %s, and %s stay free (store.floor)", ErrFull, dir,
			sizeText(have), sizeText(m.Size()), sizeText(s.options.Floor))
	}
	for _, f := range m.Files {
		if err := s.unpackFile(ctx, f, filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return errors.Join(os.Chmod(path, 0o755), syncDir(path)) // no umask of the process counts
	})
}

func (s *Store) unpackFile(ctx context.Context, f File, path string) error {
	d := descriptor{Digest: f.Digest, Size: f.Size}
	from, err := s.openBlob(d)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := newFile(path, modeOf(f))
	if err != nil {
		return err
	}
	err = copyChecked(ctx, to, from, d)
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}
