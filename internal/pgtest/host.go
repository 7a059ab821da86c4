package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// findBin returns the directory of the newest PostgreSQL of this machine.
func findBin() (string, error) {
	best, newest := "", -1.0
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well-formed
	for _, dir := range dirs {
		version, err := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64)
		if _, missing := os.Stat(filepath.Join(dir, "initdb")); err == nil && missing == nil && version > newest {
			best, newest = dir, version
		}
	}
	if best != "" {
		return best, nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New(
			"this test starts a private PostgreSQL and found none in /usr/lib/postgresql/*/bin or PATH; " +
				"install it, for example: apt-get install postgresql (its own service need not run)",
		)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// fakeClock is the environment of a program with a clock that is ahead of the machine's.
func fakeClock(ahead time.Duration) ([]string, error) {
	if ahead == 0 {
		return nil, nil
	}
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1") // the pattern is well-formed
	if len(found) == 0 {
		return nil, errors.New(
			"this test gives PostgreSQL another clock and found no libfaketime; install it, for example: apt-get " +
				"install faketime",
		)
	}
	return []string{
		"LD_PRELOAD=" + found[0],
		fmt.Sprintf("FAKETIME=%+.0fs", ahead.Seconds()),
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, nil
}

// movingClock makes a fake clock follow a file.
func movingClock(env []string, file string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, "FAKETIME=") })
	return append(env, "FAKETIME_TIMESTAMP_FILE="+file, "FAKETIME_CACHE_DURATION=1")
}

// unprivileged is the user that runs the server; nil for the caller's own user.
type unprivileged struct{ uid, gid int }

// findUser returns nil unless the caller is root.
func findUser() (*unprivileged, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &unprivileged{uid: uid, gid: gid}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
}

func (u *unprivileged) own(path string) error {
	if u == nil {
		return nil
	}
	return os.Chown(path, u.uid, u.gid)
}

// setpriv is the command line that changes the user behind "ip netns exec".
func (u *unprivileged) setpriv() []string {
	if u == nil {
		return nil
	}
	return []string{
		"setpriv",
		"--reuid",
		strconv.Itoa(u.uid),
		"--regid",
		strconv.Itoa(u.gid),
		"--clear-groups",
		"--pdeathsig",
		"QUIT",
	}
}

// children lists the child processes of pid.
func children(pid int) []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid …; the name may contain any character, also ")".
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
		f := strings.Fields(rest)
		if len(f) < 2 || f[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			out = append(out, child)
		}
	}
	return out
}
