package skerry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/statedir"
)

// stateFiles are the files of this process in the state directory; empty
// names mean that nothing is kept.
type stateFiles struct {
	slot                                slot
	lists, peers, stats, rules, members string
	keys                                string // of the site, as the database has told them
	others                              string // a neighbour's rules, for a process without any
	hung                                error  // the disk did not answer when this process started
}

// openStateDir finds and makes the directory, and takes the files of this
// process in it. A process that can't keep state runs all the same, and says so.
func (n *Node) openStateDir() stateFiles {
	dir := n.cfg.StateDir
	switch dir {
	case "none":
		return stateFiles{}
	case "":
		n.log.Error("state is not kept: neither STATE_DIRECTORY nor HOME is set, and a directory that all users share " +
			"is not safe; a start without any registry will find no process; set state_dir, or StateDirectory= in the systemd unit")
		return stateFiles{}
	}
	err := statedir.Make(dir)
	if err == nil {
		dir = filepath.Join(dir, n.cfg.Cluster)
		err = statedir.Make(dir)
	}
	if err != nil {
		n.log.Error("state is not kept: a start without any registry will find no process; "+
			"set state_dir to a directory of this process's own", "err", err)
		return stateFiles{}
	}
	name := n.fileName()
	mine, err := takeSlot(dir, name)
	switch {
	case mine.base == "":
		n.log.Error("state is not kept", "err", err)
		return stateFiles{}
	case err != nil:
		n.log.Warn("state files are not locked: give each process of this program a state_dir of its own", "err", err)
	}
	f := stateFiles{slot: mine, lists: mine.base + ".lists.json", peers: mine.base + ".peers.json", stats: mine.base + ".stats.log",
		rules: mine.base + ".rules.json", members: mine.base + ".members.json", keys: mine.base + ".keys.json"}
	f.borrow(dir, name)
	return f
}

// borrow gives a slot that was never used what a neighbour knows of the site.
// A neighbour's promises, and whom it waits for, stay its own.
func (f *stateFiles) borrow(dir, name string) {
	for own, ending := range map[string]string{f.lists: ".lists.json", f.peers: ".peers.json", f.keys: ".keys.json"} {
		if _, err := statedir.Stat(own); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if text, err := statedir.ReadFile(f.slot.newest(dir, name, ending)); err == nil {
			_ = statedir.WriteFile(own, text) // nothing is lost without it
		}
	}
	if _, err := statedir.Stat(f.rules); errors.Is(err, fs.ErrNotExist) {
		f.others = f.slot.newest(dir, name, ".rules.json")
	}
}

// fileName tells the processes of one host apart and stays the same over
// restarts: the program, its first service, and its port when it is fixed.
// Processes that share it have a slot each.
func (n *Node) fileName() string {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if len(n.cfg.Services) > 0 {
		name += "-" + n.cfg.Services[0].Name
	}
	if _, port := n.cfg.ListenAddr(); port != "0" {
		name += "-" + port
	}
	return name
}

// peerState keeps the addresses of peers on the LAN.
func (n *Node) peerState() broadcast.State {
	if n.files.peers == "" {
		return broadcast.State{}
	}
	return broadcast.State{
		Load: func() ([]string, error) { return readState[[]string](n, n.files.peers) },
		Save: func(list []string) error { return n.writeState(n.files.peers, list) },
	}
}
