package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

// CreateKeys makes a key file that only its owner may read. It fails with fs.ErrExist if the path
// exists.
func CreateKeys(path string, keys ...sitekey.Line) error {
	var b strings.Builder
	b.WriteString("# skerry: the key of the site. Each host with this key is a member: keep it to the hosts of the " +
		"site.\n")
	for _, k := range keys {
		b.WriteString(k.Format() + "\n")
	}
	return create(path, b.String(), 0o600)
}

// ReplaceKeys writes other keys, another order or other notes into a key file. Comments on lines of
// their own are kept, in front of the keys.
func ReplaceKeys(path string, keys []sitekey.Line) error {
	text, err := read(path, secret, maxKeys)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "\ufeff"), "\n")
	var b strings.Builder
	for _, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line + "\n")
		}
	}
	for _, k := range keys {
		b.WriteString(k.Format() + "\n")
	}
	if back, err := sitekey.ParseList(b.String()); err != nil || len(back) != len(keys) {
		return fmt.Errorf("%s: these keys can't stand in one file: %v", path, err)
	}
	return replace(path, b.String())
}

// AddOperator appends a line to a file of operators, and makes the file when
// there is none.
func AddOperator(path string, op sshsig.Operator) error {
	line, err := op.Format()
	if err != nil {
		return err
	}
	text, err := read(path, public, sshsig.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return create(path, "# skerry: the operators of the site. One line each: name, what it may sign, public "+
			"key.\n"+line+"\n", 0o644)
	}
	if err != nil {
		return err
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	text += line + "\n"
	if _, err := sshsig.ParseOperators(path, text); err != nil {
		return err
	}
	return replace(path, text)
}

// ReadOperators reads a file of operators once.
func ReadOperators(path string) ([]sshsig.Operator, error) {
	o, err := OpenOperators(path)
	if err != nil {
		return nil, err
	}
	return o.Trusted().List(), nil
}

func create(path, text string, mode fs.FileMode) error {
	dirMode := fs.FileMode(0o755)
	if mode&0o077 == 0 && filepath.Dir(path) != systemDir() {
		dirMode = 0o700
	}
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if mode&0o077 == 0 {
		err = restrict(f)
	}
	return finish(f, text, err, func() error { return nil })
}

// replace writes a file beside the old one and renames it to the old name. Of a link it replaces
// the target.
func replace(path, text string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	return finish(f, text, take(f, old), func() error { return os.Rename(f.Name(), path) })
}

// finish writes the text, unless there was an error before, and leaves no partial file.
func finish(f *os.File, text string, err error, then func() error) error {
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = then()
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	if dir, open := os.Open(filepath.Dir(f.Name())); open == nil {
		_ = dir.Sync() // on systems that support it
		dir.Close()
	}
	return nil
}

// quote is a path quoted for a shell.
func quote(path string) string {
	if path != "" &&
		strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:\\") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
