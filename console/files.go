package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/statedir"
)

// files are what a console keeps in its directory, "" for none: the sessions, so that a restart keeps them, and the
// links that `skerry console link` makes. They are for the console's user only, like the directory.
type files struct{ dir string }

const (
	lockFile     = "console.lock"
	addressFile  = "console.url"
	sessionsFile = "console-sessions.json"
	linkPrefix   = "console-link-"
	linkSuffix   = ".json"
	savePeriod   = 10 * time.Second
)

// kept is the file of sessions.
type kept struct {
	Secret   string        `json:"secret"`
	Sessions []keptSession `json:"sessions"`
}

type keptSession struct {
	ID    string     `json:"id"`
	Name  string     `json:"name"`
	Role  role       `json:"role"`
	By    string     `json:"by"`
	Addr  netip.Addr `json:"address"`
	Begun time.Time  `json:"begun"`
	Ends  time.Time  `json:"ends"`
	Seen  time.Time  `json:"seen"`
}

// load takes the sessions of the last run. A session that the console's own terminal has let in may no longer sign by
// the key that is unlocked there: another operator may sit there now.
func (d *doors) load() error {
	if d.files.dir == "" {
		return nil
	}
	path := filepath.Join(d.files.dir, sessionsFile)
	if err := private(path); err != nil {
		return err
	}
	text, err := statedir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	secret, err := hex.DecodeString(k.Secret)
	if err != nil || len(secret) != len(d.secret) {
		return fmt.Errorf("%s: the secret is damaged", path)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secret = [32]byte(secret)
	now := d.now()
	for _, s := range k.Sessions {
		id, err := hex.DecodeString(s.ID)
		if err != nil || len(id) != 32 || len(d.sessions) >= mostEntries {
			continue
		}
		if s.Seen.After(now) { // the clock was set back; a session does not last longer by that
			s.Ends, s.Seen = s.Ends.Add(now.Sub(s.Seen)), now
		}
		d.sessions[[32]byte(id)] = &session{id: [32]byte(id), name: s.Name, role: s.Role, by: s.By, addr: s.Addr,
			begun: s.Begun, ends: s.Ends, seen: s.Seen}
	}
	d.sweep()
	return nil
}

// save writes the sessions, if they have changed.
func (d *doors) save() error {
	if d.files.dir == "" {
		return nil
	}
	d.saving.Lock()
	defer d.saving.Unlock()
	d.mu.Lock()
	if !d.dirty {
		d.mu.Unlock()
		return nil
	}
	d.dirty = false
	k := kept{Secret: hex.EncodeToString(d.secret[:])}
	for _, s := range d.sessions {
		k.Sessions = append(k.Sessions, keptSession{hex.EncodeToString(s.id[:]), s.name, s.role, s.by, s.addr, s.begun,
			s.ends, s.seen})
	}
	d.mu.Unlock()
	text, err := json.Marshal(k)
	if err == nil {
		err = statedir.WriteFile(filepath.Join(d.files.dir, sessionsFile), text)
	}
	if err != nil {
		d.mu.Lock()
		d.dirty = true
		d.mu.Unlock()
	}
	return err
}

// keepSaved saves until ctx ends, and then once more.
func (c *Console) keepSaved(ctx context.Context) {
	for end := false; !end; {
		end = run.Sleep(ctx, savePeriod) != nil
		if err := c.doors.save(); err != nil {
			c.log.Warn("the sessions of the console are not kept; a restart ends them", "err", err)
		}
		if err := c.live.members.save(end); err != nil {
			c.log.Warn("which processes have come and gone is not kept; a restart of the console forgets it", "err",
				err)
		}
	}
}

// keptLink is the file of a link, which is named by the hash of its token.
type keptLink struct {
	Name  string        `json:"name"`
	Role  role          `json:"role"`
	Long  time.Duration `json:"long"`
	Until time.Time     `json:"until"`
}

func linkFile(dir string, hash [32]byte) string {
	return filepath.Join(dir, linkPrefix+hex.EncodeToString(hash[:])+linkSuffix)
}

// takeLink takes the link of a token's hash out of the directory.
func (f files) takeLink(hash [32]byte) (link, bool) {
	if f.dir == "" {
		return link{}, false
	}
	path := linkFile(f.dir, hash)
	if private(path) != nil {
		return link{}, false
	}
	text, err := statedir.ReadFile(path)
	if err != nil {
		return link{}, false
	}
	if err := statedir.Remove(path); err != nil {
		return link{}, false // another sign-in was faster, or it would be good for a second one
	}
	var k keptLink
	if err := json.Unmarshal(text, &k); err != nil || !goodName(k.Name) {
		return link{}, false
	}
	return link{grant{name: k.Name, role: k.Role, long: k.Long, by: byLink}, k.Until}, true
}

// LinkRequest is what a link gives.
type LinkRequest struct {
	Name string        // of the operator, for the history
	Role string        // viewer, operator, admin
	For  time.Duration // that the session lasts; at most 12 h
}

// ErrNoConsole: no console runs that keeps its files in the directory.
var ErrNoConsole = errors.New("no console runs here")

// MakeLink makes a link for the console that keeps its files in a directory: for one sign-in, in the next ten minutes.
func MakeLink(dir string, r LinkRequest, now time.Time) (string, error) {
	of, err := parseRole(r.Role)
	switch {
	case err != nil:
		return "", err
	case !goodName(r.Name):
		return "", fmt.Errorf("%q is no name: want letters, digits and . _ @ -, at most 64", r.Name)
	case r.For <= 0 || r.For > sessionTime:
		return "", fmt.Errorf("a session lasts %v at most, and %v is asked for", sessionTime, r.For)
	}
	if err := statedir.Check(dir); errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoConsole
	} else if err != nil {
		if unsafe, ok := errors.AsType[*statedir.UnsafeError](err); ok {
			return "", fmt.Errorf("%s is not this user's: %s; run the command as the user that the console runs as",
				dir, unsafe.Why)
		}
		return "", err
	}
	lock, err := statedir.Lock(filepath.Join(dir, lockFile))
	if err == nil {
		lock.Close()
		return "", ErrNoConsole
	}
	if !errors.Is(err, statedir.ErrLocked) {
		return "", err
	}
	url, err := statedir.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return "", fmt.Errorf("the address of the console: %w", err)
	}
	dropOldLinks(dir, now)
	t := token()
	text, err := json.Marshal(keptLink{r.Name, of, r.For, now.Add(linkTime)})
	if err != nil {
		return "", err
	}
	if err := statedir.WriteFile(linkFile(dir, sha256.Sum256([]byte(t))), text); err != nil {
		return "", err
	}
	return strings.TrimSpace(string(url)) + "/in#" + t, nil
}

// dropOldLinks removes links that were not used in time.
func dropOldLinks(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), linkPrefix) || !strings.HasSuffix(e.Name(), linkSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > linkTime {
			statedir.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
