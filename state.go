package skerry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skerry/skerry/broadcast"
)

// stateFiles are the files of this process in the state directory; empty
// names mean that nothing is kept.
type stateFiles struct {
	slot                                slot
	lists, peers, stats, rules, members string
	others                              string // a neighbour's rules, for a process without any
}

// openStateDir finds and makes the directory, and takes the files of this
// process in it. A process that can't keep state runs all the same, and says so.
func (n *Node) openStateDir() stateFiles {
	dir := n.cfg.StateDir
	if dir == "none" {
		return stateFiles{}
	}
	dir = filepath.Join(dir, n.cfg.Cluster)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.log.Warn("state is not kept: a start without any registry will find nobody; set state_dir to a directory that this process may write to", "err", err)
		return stateFiles{}
	}
	name := n.fileName()
	mine, err := takeSlot(dir, name)
	switch {
	case mine.base == "":
		n.log.Warn("state is not kept", "err", err)
		return stateFiles{}
	case err != nil:
		n.log.Warn("state files are not locked: give each process of this program a state_dir of its own", "err", err)
	}
	f := stateFiles{slot: mine, lists: mine.base + ".lists.json", peers: mine.base + ".peers.json", stats: mine.base + ".stats.log",
		rules: mine.base + ".rules.json", members: mine.base + ".members.json"}
	f.borrow(dir, name)
	return f
}

// borrow gives a slot that was never used what a neighbour knows of the site.
// A neighbour's promises, and whom it waits for, stay its own.
func (f *stateFiles) borrow(dir, name string) {
	for own, ending := range map[string]string{f.lists: ".lists.json", f.peers: ".peers.json"} {
		if _, err := os.Stat(own); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if text, err := os.ReadFile(f.slot.newest(dir, name, ending)); err == nil {
			_ = replaceFile(own, text) // nothing is lost without it
		}
	}
	if _, err := os.Stat(f.rules); errors.Is(err, fs.ErrNotExist) {
		f.others = f.slot.newest(dir, name, ".rules.json")
	}
}

func defaultStateDir() string {
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "skerry")
	}
	return filepath.Join(os.TempDir(), "skerry")
}

// fileName tells the processes of one host apart and stays the same over
// restarts: the program, its first service, and its port when it is fixed.
// Processes that share it have a slot each.
func (n *Node) fileName() string {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if len(n.cfg.Services) > 0 {
		name += "-" + n.cfg.Services[0].Name
	}
	if _, port := n.cfg.listen(); port != "0" {
		name += "-" + port
	}
	return name
}

// peerState keeps the addresses of peers on the LAN.
func (f stateFiles) peerState() broadcast.State {
	if f.peers == "" {
		return broadcast.State{}
	}
	return broadcast.State{
		Load: func() (list []string, err error) {
			text, err := os.ReadFile(f.peers)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			if err == nil {
				err = json.Unmarshal(text, &list)
			}
			return list, err
		},
		Save: func(list []string) error {
			text, err := json.Marshal(list)
			if err != nil {
				return err
			}
			return replaceFile(f.peers, text)
		},
	}
}

// replaceFile writes a file so that a reader, or a power cut, finds the old
// or the new text and nothing between.
func replaceFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if dir, open := os.Open(filepath.Dir(path)); err == nil && open == nil {
		_ = dir.Sync() // where the system can; elsewhere the rename is all there is
		dir.Close()
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
