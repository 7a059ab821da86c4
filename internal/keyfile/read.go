package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skerry/skerry/internal/sshsig"
)

// kind is the kind of a file. It decides which rights are too many.
type kind int

const (
	secret   kind = iota // others may neither read nor write it
	public               // others may read it
	private              // others may neither read nor write it, and any user may own it
	harmless             // any rights are allowed
)

// maxKeys bounds a key file, in bytes.
const maxKeys = 64 << 10

// read returns the text of a file, at most limit bytes, if its rights are safe.
func read(path string, what kind, limit int) (string, error) {
	f, err := open(path)
	if err != nil {
		return "", readable(path, what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is %s and no file; name the file", path, typeOf(info.Mode()))
	}
	if err := safe(path, f, info, what); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if len(text) > limit {
		return "", fmt.Errorf("%s has more than %d bytes; it is another kind of file", path, limit)
	}
	return string(text), nil
}

// readable adds the remedy to an error of opening.
func readable(path string, what kind, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission) && what == secret:
		return fmt.Errorf(
			"%w; give the file to the user of the service: by LoadCredential=skerry.key:%s in its systemd "+
				"unit, or by chown root:GROUP and chmod 640; or run the command as root",
			err,
			path,
		)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run the command as the user that the file is for, or give that user the file", err)
	case tooManyLinks(err):
		return fmt.Errorf("%s is a symbolic link that leads back to itself; replace it by the file", path)
	}
	return err
}

func typeOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

// Places are the paths of a cluster's key when the configuration names no file, in order of
// precedence.
func Places(cluster string) []string {
	if cluster == "" || cluster == "." || cluster == ".." || strings.ContainsAny(cluster, `/\:`) {
		return nil // not a valid cluster name, and it must not lead to another directory
	}
	var places []string
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		places = append(places, filepath.Join(dir, "skerry.key"))
	}
	if dir := systemDir(); dir != "" {
		places = append(places, filepath.Join(dir, cluster+".key"))
	}
	if dir, err := os.UserConfigDir(); err == nil {
		places = append(places, filepath.Join(dir, "skerry", cluster+".key"))
	}
	return places
}

// maxPrivate bounds a private key, in bytes.
const maxPrivate = 64 << 10

// ReadPrivate returns the text of an operator's private key, which no other user may read. It may
// belong to another user than the one of this process: a foreign private key is harmless, as no
// file of operators names it.
func ReadPrivate(path string) (string, error) { return read(path, private, maxPrivate) }

// ReadPublicKey reads a .pub file of any user: a public key proves nothing. It returns the key and
// its comment.
func ReadPublicKey(path string) (key sshsig.PublicKey, comment string, err error) {
	text, err := read(path, harmless, maxPrivate)
	if err != nil {
		return key, "", err
	}
	if key, comment, err = sshsig.ParsePublicKey(strings.TrimSpace(text)); err != nil {
		return key, "", fmt.Errorf("%s: %w", path, err)
	}
	return key, comment, nil
}

// Homes are the Places that a command may write.
func Homes(cluster string) []string {
	places := Places(cluster)
	if len(places) > 0 && os.Getenv("CREDENTIALS_DIRECTORY") != "" {
		places = places[1:]
	}
	return places
}
