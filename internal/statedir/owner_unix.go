//go:build unix

package statedir

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// check refuses a file that another user than the process's own and root owns or may write.
func check(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return judge(info, path, os.Geteuid(), private)
}

// judge is check for a user; private reports whether the owner is alone in a group.
func judge(info fs.FileInfo, path string, euid int, private func(gid, uid uint32) bool) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%q: the system does not tell its owner", path)
	}
	mode := info.Mode()
	switch {
	case s.Uid != uint32(euid) && s.Uid != 0:
		why := fmt.Sprintf("it belongs to %s (mode %v), and this process runs as %s", name(s.Uid), mode,
			name(uint32(euid)))
		return &UnsafeError{path, why, fmt.Sprintf("chown %d %s", euid, shell(path))}
	case mode&0o002 != 0:
		why := fmt.Sprintf("every user may write it (owner %s, mode %v)", name(s.Uid), mode)
		return &UnsafeError{path, why, "chmod go-w " + shell(path)}
	case mode&0o020 != 0 && !private(s.Gid, s.Uid):
		why := fmt.Sprintf("group %d may write it (owner %s, mode %v)", s.Gid, name(s.Uid), mode)
		return &UnsafeError{path, why, "chmod g-w " + shell(path)}
	}
	return nil
}

// foreign names the owner of a file that can't be opened, if that is another user: a run as root
// leaves such files. nil: the process's own user is the owner.
func foreign(info fs.FileInfo, path string) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	euid := os.Geteuid()
	if !ok || s.Uid == uint32(euid) {
		return nil
	}
	why := fmt.Sprintf("it belongs to %s (mode %v), and this process, as %s, can't open it", name(s.Uid), info.Mode(),
		name(uint32(euid)))
	return &UnsafeError{path, why, fmt.Sprintf("chown %d %s", euid, shell(path))}
}

// checkLink refuses a symbolic link of another user.
func checkLink(info fs.FileInfo, path string) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if ok && s.Uid != 0 && s.Uid != uint32(os.Geteuid()) {
		return &UnsafeError{path, "it is a symbolic link of " + name(s.Uid), "rm " + shell(path)}
	}
	return nil
}

func links(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}

// name is the name of a user, as an operator knows it.
func name(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return fmt.Sprintf("user %s (%s)", u.Username, id)
	}
	return "user " + id
}

// private reports whether the owner is alone in a group, as with the groups that many systems make
// for each user. It is false if the user database does not show it.
func private(gid, uid uint32) bool {
	groups, err1 := os.ReadFile("/etc/group")
	users, err2 := os.ReadFile("/etc/passwd")
	return err1 == nil && err2 == nil && alone(string(groups), string(users), gid, uid)
}

func alone(groups, users string, gid, uid uint32) bool {
	group, owner := strconv.FormatUint(uint64(gid), 10), strconv.FormatUint(uint64(uid), 10)
	ownerName := ""
	for line := range strings.Lines(users) {
		f := strings.Split(strings.TrimSpace(line), ":") // name, password, user, group
		if len(f) < 4 {
			continue
		}
		if f[2] == owner {
			ownerName = f[0]
		} else if f[3] == group {
			return false
		}
	}
	found := false
	for line := range strings.Lines(groups) {
		f := strings.Split(strings.TrimSpace(line), ":") // name, password, group, members
		if len(f) < 4 || f[2] != group {
			continue
		}
		found = true
		for member := range strings.SplitSeq(f[3], ",") {
			if member != "" && member != ownerName {
				return false
			}
		}
	}
	return found && ownerName != ""
}
