package testsite

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Go runs the go command in this directory.
func Go(args ...string) error {
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Root returns the directory of skerry's own module, for a test of any package or nested module of it.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/skerry/skerry\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not in the module of skerry", dir)
		}
	}
}

// Programs builds commands of this module, such as "./cmd/skerry", and returns the directory that holds them. All tests
// share the directory, so that each command is linked once and not by every package that starts it.
func Programs(commands ...string) (dir string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(root, ".build", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(root, ".build", "bin.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	to := dir + string(filepath.Separator)
	return dir, Go(append([]string{"build", "-C", root, "-ldflags=-s -w", "-o", to}, commands...)...)
}

// Command builds the command skerry and returns its path.
func Command() (path string, err error) {
	dir, err := Programs("./cmd/skerry")
	return filepath.Join(dir, "skerry"), err
}

// Change replaces a text of a file of this tree, so that a test can build another version of it. Old occurs once,
// unless it is replaced everywhere.
type Change struct {
	File, Old, New string
	Everywhere     bool
}

// Overlay writes the changed files, and the list of them for go build -overlay, into dir. root is the directory of the
// module.
func Overlay(dir, root string, changes []Change) (list string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	text, places := map[string]string{}, map[string]string{}
	for _, c := range changes {
		from, err := filepath.Abs(filepath.Join(root, c.File))
		if err != nil {
			return "", err
		}
		if text[from] == "" {
			now, err := os.ReadFile(from)
			if err != nil {
				return "", err
			}
			text[from] = string(now)
			places[from] = filepath.Join(dir, strings.ReplaceAll(c.File, "/", "+"))
		}
		if n := strings.Count(text[from], c.Old); n == 0 || n > 1 && !c.Everywhere {
			return "", fmt.Errorf("change %s of %s has %d places", c.Old, c.File, n)
		}
		text[from] = strings.ReplaceAll(text[from], c.Old, c.New)
	}
	for from, now := range text {
		if err := os.WriteFile(places[from], []byte(now), 0o600); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": places})
	if err != nil {
		return "", err
	}
	list = filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, b, 0o600)
}
