package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// An agent runs from versions/HASH/skerry below its directory, where the link current leads. A shim or proxy that was
// started by an agent before goes on from the file of that agent.

const (
	versionsDir  = "versions"
	currentName  = "current"
	keepVersions = 4
)

// Program is the path from which a service manager starts the agent of a directory.
func Program(dir string) string { return filepath.Join(dir, currentName, programName()) }

func programName() string {
	if runtime.GOOS == "windows" {
		return "skerry.exe"
	}
	return "skerry"
}

// Place copies a binary of skerry to the directory of an agent and makes it the one that is started next. It returns
// the path of the copy, and of the binary that was started before, "" for none.
func Place(dir, binary string) (now, before string, err error) {
	if now, err = copyVersion(dir, binary); err != nil {
		return "", "", err
	}
	before, err = filepath.EvalSymlinks(Program(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	return now, before, flip(dir, now)
}

// copyVersion copies a binary into versions/. A file with its hash is there whole or not at all.
func copyVersion(dir, binary string) (path string, err error) {
	from, err := os.Open(binary)
	if err != nil {
		return "", err
	}
	defer from.Close()
	base := filepath.Join(dir, versionsDir)
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{{dir, 0o711}, {base, 0o755}} {
		if err := mkdir(d.path, d.mode); err != nil {
			return "", err
		}
	}
	part, err := os.CreateTemp(base, ".part-")
	if err != nil {
		return "", err
	}
	defer os.Remove(part.Name())
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(part, hash), from)
	err = errors.Join(err, part.Chmod(0o755), part.Sync(), part.Close())
	if err != nil {
		return "", err
	}
	home := filepath.Join(base, hex.EncodeToString(hash.Sum(nil))[:16])
	if err := mkdir(home, 0o755); err != nil {
		return "", err
	}
	path = filepath.Join(home, programName())
	if old, err := os.Stat(path); err == nil {
		if info, err := os.Stat(part.Name()); err == nil && info.Size() == old.Size() {
			return path, nil // it may be running
		}
	}
	return path, os.Rename(part.Name(), path)
}

// flip makes a binary in versions/ the one that is started next.
func flip(dir, binary string) error {
	home, err := filepath.Rel(dir, filepath.Dir(binary))
	if err != nil {
		return err
	}
	link := filepath.Join(dir, currentName+".new")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(home, link); err != nil {
		return err
	}
	current := filepath.Join(dir, currentName)
	if runtime.GOOS == "windows" { // which replaces no link to a directory
		if err := os.Remove(current); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(link, current)
}

// Prove reads what an agent reads when it starts, and reaches all shims of its host. It changes nothing.
func Prove(ctx context.Context, c Config) error {
	if _, err := openOrders(c); err != nil {
		return err
	}
	all, err := look(ctx, c.Dir)
	for _, i := range all {
		if i.Phase == unknown {
			err = errors.Join(err, fmt.Errorf("%s: %s", i.Name, i.Problem))
		}
	}
	return err
}

// Upgrade puts a binary in the place of the agent that runs. The binary has to prove itself before, and the new agent
// after: otherwise the agent of before is started again. It relies on a service manager that starts Program again when
// the agent ends. Each proof has its time; note is told each step.
func Upgrade(ctx context.Context, c Config, file, binary string, within time.Duration, note func(string)) error {
	r, err := Look(ctx, c.Dir)
	if err != nil {
		return err
	}
	if !r.Running || !inVersions(c.Dir, r.Program) {
		return fmt.Errorf("no agent runs from %s, as one does that skerry agent install has installed; nothing would "+
			"start the new one", Program(c.Dir))
	}
	lock, err := statedir.Lock(filepath.Join(c.Dir, "upgrade"))
	if err != nil {
		return fmt.Errorf("another upgrade of this agent: %w", err)
	}
	defer lock.Close()
	path, err := copyVersion(c.Dir, binary)
	if err != nil {
		return err
	}
	if path == r.Program {
		note("that agent runs already")
		return nil
	}
	if err := proves(ctx, path, file, within); err != nil {
		return fmt.Errorf("%s does not prove itself, and nothing was changed: %w", binary, err)
	}
	note("the new agent reads all states and reaches all shims")
	if err := flip(c.Dir, path); err != nil {
		return err
	}
	err = replaced(ctx, c.Dir, r, path, within)
	if err == nil {
		note("the new agent runs")
		return prune(c.Dir, path, r.Program)
	}
	note("the new agent fails, and the one of before comes back")
	back := context.WithoutCancel(ctx)
	if flipErr := flip(c.Dir, r.Program); flipErr != nil {
		return errors.Join(err, flipErr)
	}
	if now, lookErr := Look(back, c.Dir); lookErr == nil && now.Running && now.Program == path {
		err = errors.Join(err, replaced(back, c.Dir, now, r.Program, within))
	}
	return fmt.Errorf("the upgrade was taken back: %w", err)
}

// proves runs the proof of another binary.
func proves(ctx context.Context, path, file string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "agent", "prove", "--file", file)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %.500s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// replaced ends an agent and waits for the one of a path to have proved itself.
func replaced(ctx context.Context, dir string, old Report, path string, within time.Duration) error {
	if err := endAgent(dir, old); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		r, err := Look(ctx, dir)
		if err == nil && r.Running && r.Program == path && r.Proved && r.PID != old.PID {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no agent of %s has proved itself within %v", path, within)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// endAgent ends an agent politely. The number of a process is believed only if that process runs the agent's program.
func endAgent(dir string, r Report) error {
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", r.PID)); runtime.GOOS == "linux" &&
		(err != nil || !inVersions(dir, strings.TrimSuffix(exe, " (deleted)"))) {
		return fmt.Errorf("the process %d is no agent of %q", r.PID, dir)
	}
	p, err := os.FindProcess(r.PID)
	if err != nil {
		return err
	}
	return terminate(p)
}

func inVersions(dir, program string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	return err == nil && strings.HasPrefix(program, filepath.Join(dir, versionsDir)+string(filepath.Separator))
}

// prune removes old binaries, but for those that the specification of a proxy names.
func prune(dir string, keep ...string) error {
	all, err := filepath.Glob(filepath.Join(dir, versionsDir, "*"))
	if err != nil {
		return err
	}
	specs, err := filepath.Glob(filepath.Join(dir, "proxies", "*", "spec.json"))
	if err != nil {
		return err
	}
	used := ""
	for _, s := range specs {
		text, err := statedir.ReadFile(s)
		if err != nil {
			return err
		}
		used += string(text)
	}
	age := func(path string) time.Time {
		info, err := os.Stat(path)
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(all, func(a, b string) int { return age(b).Compare(age(a)) })
	for i, home := range all {
		named := func(path string) bool { return filepath.Dir(path) == home }
		if i >= keepVersions && !slices.ContainsFunc(keep, named) && !strings.Contains(used, home) {
			err = errors.Join(err, os.RemoveAll(home))
		}
	}
	return err
}
