package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/skerry/skerry/site/artifact"
)

const (
	maxOutputs = 50_000
	maxOutput  = 64 << 30 // bytes of the outputs for one platform
)

// collect makes the artifacts. No process of the run is left.
func (r *run) collect(ctx context.Context) error {
	root, err := os.OpenRoot(filepath.Join(r.work, "checkout"))
	if err != nil {
		return err
	}
	defer root.Close()
	dirs := map[string]string{}
	for i, p := range r.recipe.Platforms { // of all platforms before the first artifact
		out, err := r.recipe.output(p)
		if err != nil {
			return err
		}
		dirs[p] = filepath.Join(r.work, fmt.Sprintf("out-%d", i))
		if err := r.take(root, out, dirs[p]); err != nil {
			return fmt.Errorf("outputs for %s: %w", p, err)
		}
	}
	for _, p := range r.recipe.Platforms {
		m := artifact.Manifest{Service: r.order.Service, Version: r.result.Version, Platform: p,
			Source: artifact.Source{Repo: r.order.Source, Commit: r.result.Commit}, Run: r.recipe.Run}
		made, err := r.order.Store.Make(ctx, dirs[p], m, r.order.Signer)
		if err != nil {
			return fmt.Errorf("artifact for %s: %w", p, err)
		}
		r.result.Artifacts = append(r.result.Artifacts, Built{p, made.Digest})
		r.log.printf("artifact for %s: %s\n", p, made.Digest)
	}
	return nil
}

// take copies an output to a directory of the builder. It reads through the open directory of the checkout, which no
// link leads out of.
func (r *run) take(root *os.Root, out, to string) error {
	info, err := root.Lstat(filepath.FromSlash(out))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the steps have not made %q", out)
	}
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	into, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer into.Close()
	files, total := 0, int64(0)
	copied := func(name, as string) error {
		n, err := r.copy(root, name, into, as)
		if err != nil {
			return err
		}
		if files, total = files+1, total+n; files > maxOutputs || total > maxOutput {
			return fmt.Errorf("more than %d files or %d bytes", maxOutputs, int64(maxOutput))
		}
		return nil
	}
	if !info.IsDir() {
		return copied(out, path.Base(out))
	}
	return fs.WalkDir(root.FS(), out, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.FromSlash(out), filepath.FromSlash(name))
		switch {
		case err != nil:
			return err
		case !e.IsDir():
			return copied(name, rel)
		case rel != ".":
			return into.Mkdir(rel, 0o700)
		}
		return nil
	})
}

// copy copies a plain file of the user that ran the steps.
func (r *run) copy(root *os.Root, name string, into *os.Root, as string) (int64, error) {
	named, err := root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return 0, err
	}
	if named.Mode()&fs.ModeSymlink != 0 {
		return 0, fmt.Errorf("%q is a symbolic link; an artifact has plain files: put the file in its place", name)
	}
	if !named.Mode().IsRegular() {
		return 0, fmt.Errorf("%q is no plain file (%v)", name, named.Mode().Type())
	}
	from, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return 0, err
	}
	if !os.SameFile(info, named) || !r.user.owns(info) {
		return 0, fmt.Errorf("%q is a file of another user, or was replaced while it was read", name)
	}
	mode := fs.FileMode(0o600)
	if info.Mode()&0o111 != 0 {
		mode = 0o700
	}
	to, err := into.OpenFile(as, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(to, io.LimitReader(from, maxOutput+1))
	return n, errors.Join(err, to.Close())
}

// removeAll removes a directory, also one in which directories may not be written.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(at string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(at, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
