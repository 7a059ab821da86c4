package agent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/site/agent/shim"
)

// account is the user of an instance. nil: that of the agent.
type account struct {
	uid, gid uint32
	groups   []uint32
}

// userOf returns the account of a user that a plan names, if this host allows it.
func (a *Agent) userOf(name string) (*account, error) {
	own, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("the user of the agent: %w", err)
	}
	if name == own.Username || name == "" && own.Uid != "0" {
		return nil, nil
	}
	if name == "" {
		return nil, errors.New("the plan names no user, and nothing runs as root unless it does; write user: NAME")
	}
	if !slices.Contains(a.config.Users, name) {
		return nil, fmt.Errorf("this host lets nothing run as %q; its administrator may add it to users of the "+
			"agent's configuration", name)
	}
	if own.Uid != "0" {
		return nil, fmt.Errorf("the agent runs as %s and can't start a program as %q; run it as root", own.Username,
			name)
	}
	return accountOf(name)
}

func accountOf(name string) (*account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	x := &account{}
	for i, text := range append([]string{u.Uid, u.Gid}, ids...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s has the number %q: %w", name, text, err)
		}
		switch i {
		case 0:
			x.uid = uint32(id)
		case 1:
			x.gid = uint32(id)
		default:
			x.groups = append(x.groups, uint32(id))
		}
	}
	return x, nil
}

func (x *account) shim() *shim.User {
	if x == nil {
		return nil
	}
	return &shim.User{UID: x.uid, GID: x.gid, Groups: x.groups}
}

// mkdir makes a directory that the account owns, in one of the agent.
func (x *account) mkdir(path string) error {
	if err := mkdir(path, 0o700); err != nil || x == nil {
		return err
	}
	return os.Lchown(path, int(x.uid), int(x.gid))
}

// mkdir makes a directory, or gives an old one its mode.
func mkdir(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is no directory", path)
	}
	return os.Chmod(path, mode)
}

// write replaces a file that the account alone may read, in a directory of the agent.
func (x *account) write(path string, text []byte) error {
	part := path + "." + strings.ToLower(rand.Text()[:10]) + ".new"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if x != nil {
		err = errors.Join(err, f.Chown(int(x.uid), int(x.gid)))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}
