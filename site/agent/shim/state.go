package shim

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// Phase is what an instance does.
type Phase string

// The phases.
const (
	Up       Phase = "up"          // the program runs
	Backoff  Phase = "backing off" // it has ended, and is started at State.Next
	Stopping Phase = "stopping"    // it has been asked to end, or is being killed
	Stopped  Phase = "stopped"     // for good; the shim ends
)

// Process is one process of one boot. A number alone may belong to another process later.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // time of the start, in units of the system
}

// Exit is how a program ended.
type Exit struct {
	At     time.Time `json:"at"`
	Code   int       `json:"code"`             // -1 with a Signal or a Problem
	Signal string    `json:"signal,omitempty"` // that killed it
	OOM    bool      `json:"oom,omitempty"`    // a process of it went over limits.memory and was killed
	// Problem is the reason why it could not be started.
	Problem string `json:"problem,omitempty"`
	RanMS   int64  `json:"ran_ms"`
}

// State is what a shim says of its instance.
type State struct {
	V            int        `json:"v"`
	Instance     string     `json:"instance"`
	Token        string     `json:"token"` // in the environment of every process of this shim
	Boot         string     `json:"boot"`  // of the system
	Shim         Process    `json:"shim"`
	Child        *Process   `json:"child,omitempty"` // while the program runs
	Phase        Phase      `json:"phase"`
	Since        time.Time  `json:"since"`
	Restarts     int        `json:"restarts"` // starts after the first of this shim
	CrashLooping bool       `json:"crash_looping"`
	Next         *time.Time `json:"next,omitempty"` // of Backoff: when it is started; of Stopping: when it is killed
	LastExit     *Exit      `json:"last_exit,omitempty"`
	Unenforced   []string   `json:"unenforced,omitempty"` // limits that this host does not hold
	LogDropped   int64      `json:"log_dropped,omitempty"`
	Left         int        `json:"left,omitempty"` // processes that did not die when they were killed
}

var tokenForm = regexp.MustCompile(`^[a-z0-9]{26}$`)

// ReadState returns the state that a shim has written last. The shim may have gone since.
func ReadState(dir string) (State, error) {
	path := filepath.Join(dir, "state.json")
	text, err := statedir.ReadFile(path)
	if err != nil {
		return State{}, err
	}
	return parseState(path, text)
}

func parseState(path string, text []byte) (State, error) {
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return State{}, fmt.Errorf("%q: %w", path, err)
	}
	if s.V != version {
		return State{}, fmt.Errorf("%q: version %d, this shim knows %d", path, s.V, version)
	}
	if !tokenForm.MatchString(s.Token) {
		return State{}, fmt.Errorf("%q: the token is malformed", path)
	}
	return s, nil
}

func (s State) write(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return statedir.WriteFile(filepath.Join(dir, "state.json"), text)
}

// stateRetry is the time after which a state that the disk did not take is written again.
const stateRetry = 10 * time.Second

// keeper has the newest state and writes it in a goroutine of its own: a disk that hangs holds up no restart.
type keeper struct {
	dir  string
	wake chan struct{}
	end  chan struct{} // closed: write once more and end
	done chan struct{}

	mu      sync.Mutex
	now     State
	changed chan struct{} // closed with the next change
}

func newKeeper(dir string, first State) *keeper {
	k := &keeper{dir: dir, now: first, wake: make(chan struct{}, 1), end: make(chan struct{}),
		changed: make(chan struct{})}
	k.done = make(chan struct{})
	go k.run()
	return k
}

func (k *keeper) set(s State) {
	k.mu.Lock()
	k.now = s
	close(k.changed)
	k.changed = make(chan struct{})
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) get() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// watch returns the state of now, and what is closed when it changes.
func (k *keeper) watch() (State, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now, k.changed
}

func (k *keeper) run() {
	defer close(k.done)
	var again <-chan time.Time
	for {
		select {
		case <-k.wake:
		case <-again:
		case <-k.end:
			_ = k.get().write(k.dir) // the lock tells that the shim is gone, whatever the file says
			return
		}
		again = nil
		if k.get().write(k.dir) != nil {
			again = time.After(stateRetry)
		}
	}
}

// close writes the last state, if the disk takes it within a time.
func (k *keeper) close(most time.Duration) {
	close(k.end)
	select {
	case <-k.done:
	case <-time.After(most):
	}
}
