package state

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/statedir"
)

// Kind is the ending of a file's name.
type Kind string

// The files of a slot.
const (
	Lists   Kind = ".lists.json"   // last known lists of services
	Peers   Kind = ".peers.json"   // addresses of processes on the LAN
	Stats   Kind = ".stats.log"    // statistics of calls
	Rules   Kind = ".rules.json"   // rules of versions, and promises
	Members Kind = ".members.json" // processes of the site
	Policy  Kind = ".policy.json"  // policies of the site, and since when they apply here
	Keys    Kind = ".keys.json"    // keys of the site, as read from the database
	Drains  Kind = ".drains.json"  // orders of operators to drain, those that outlive the process
)

// Config names the place of the files.
type Config struct {
	Dir     string // state_dir; "none" keeps nothing, "" means that no directory could be chosen
	Cluster string // names the directory below Dir
	Name    string // of the program's files; see Name
	// Services are what the process offers, each as "NAME VERSION". With its unit, directory,
	// program and arguments they tell it from other processes of the same Name.
	Services []string
	Log      *slog.Logger
}

// Files are the state files of one process. A nil *Files keeps nothing.
type Files struct {
	log  *slog.Logger
	disk run.Disk
	slot slot   // its base is "" if nothing is kept
	from string // a neighbour's rules, for a slot without any
	hung error  // the disk did not answer when the process started

	begun   time.Time // time of Open; the first reads share its limit
	started atomic.Bool
	taken   bool // the log has the loss of the files; for jobs of disk
}

// Name separates the processes of one host and stays the same over restarts: the program, its first
// service, and its port when that is fixed ("0" is not). Processes that share a name have a slot
// each; see [Config].
func Name(service, port string) string {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if service != "" {
		name += "-" + service
	}
	if port != "0" {
		name += "-" + port
	}
	return name
}

// found is the result of a job on the disk, which may end after it was given up.
type found struct {
	slot slot
	from string
}

// find makes the directory and takes a slot in it.
func find(c Config) found {
	dir := c.Dir
	switch dir {
	case "none":
		return found{}
	case "":
		c.Log.Error("state is not kept: neither STATE_DIRECTORY nor HOME is set, and a directory that all users " +
			"share is not safe; a start without any registry will find no process; set state_dir, or " +
			"StateDirectory= in the systemd unit")
		return found{}
	}
	err := statedir.Make(dir)
	if err == nil {
		dir = filepath.Join(dir, c.Cluster)
		err = statedir.Make(dir)
	}
	if err != nil {
		c.Log.Error("state is not kept: a start without any registry will find no process; "+
			"set state_dir to a directory of this process's own", "err", err)
		return found{}
	}
	mine, err := takeSlot(dir, c.Name, markOf(c.Services))
	switch {
	case mine.base == "":
		c.Log.Error("state is not kept", "err", err)
		return found{}
	case statedir.IsReadOnly(err):
		c.Log.Error("state is not kept: the disk is read-only, so this process knows after its next start only "+
			"what is there now; make the disk writable, or set state_dir to a directory on another one", "err", err)
	case err != nil:
		c.Log.Warn("state files are not locked: give each process of this program a state_dir of its own", "err", err)
	}
	return found{slot: mine, from: mine.borrow(dir, c.Name)}
}

// borrow copies a neighbour's data about the site into a slot that was never used, and returns the
// file of a neighbour's rules for a slot without any. It does not copy the neighbour's promises and
// its list of processes.
func (s slot) borrow(dir, name string) (rules string) {
	for _, kind := range []Kind{Lists, Peers, Keys} {
		if !s.lacks(kind) {
			continue
		}
		if text, err := statedir.ReadFile(newest(dir, name, kind)); err == nil {
			_ = statedir.WriteFile(s.path(kind), text) // the state is optional
		}
	}
	if s.lacks(Rules) {
		return newest(dir, name, Rules)
	}
	return ""
}

func (s slot) lacks(kind Kind) bool {
	_, err := statedir.Stat(s.path(kind))
	return errors.Is(err, fs.ErrNotExist)
}
