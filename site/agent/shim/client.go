package shim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// ErrGone: no shim lives in the directory.
var ErrGone = errors.New("no shim runs here")

// ErrNoWatch: the shim answers questions only.
var ErrNoWatch = errors.New("the shim can't be watched")

// refusal is an error that a shim answers.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// The requests of Ask.
const (
	DoStatus  = "status"
	DoStop    = "stop"    // for good; the shim ends
	DoKill    = "kill"    // stop without grace
	DoRestart = "restart" // stop and start
	DoWait    = "wait"    // answered when the instance has ended for good

	doWatch = "watch"
)

// Ask asks the shim of a directory. A negative grace is that of the Spec. The error is ErrGone when no shim lives
// there.
func Ask(ctx context.Context, dir, do string, grace time.Duration) (State, error) {
	q := request{V: version, Do: do}
	if grace >= 0 {
		ms := grace.Milliseconds()
		q.GraceMS = &ms
	}
	c, in, err := dial(ctx, dir, q)
	if err != nil {
		return State{}, err
	}
	defer c.Close()
	return readReply(in)
}

// Watch tells the state of an instance at once, and each change of it until ctx ends or the shim does. The error is
// ErrGone when no shim lives there, and ErrNoWatch when it is one of a version that has to be asked.
func Watch(ctx context.Context, dir string, tell func(State)) error {
	ctx, cancel := context.WithCancel(ctx) // which closes the connection
	defer cancel()
	c, in, err := dial(ctx, dir, request{V: version, Do: doWatch})
	if err != nil {
		return err
	}
	defer c.Close()
	for first := true; ; first = false {
		s, err := readReply(in)
		if _, refused := errors.AsType[*refusal](err); refused && first {
			return fmt.Errorf("%w: %w", ErrNoWatch, err)
		}
		if err != nil {
			return err
		}
		tell(s)
	}
}

// Logs copies the last lines of the log of a directory to w, and those that come until ctx ends. Without a shim it
// copies what is there.
func Logs(ctx context.Context, dir string, lines int, follows bool, w io.Writer) error {
	c, in, err := dial(ctx, dir, request{V: version, Do: "logs", Lines: lines, Follow: follows})
	if errors.Is(err, ErrGone) {
		x, err := follow(dir, nil, lines)
		if err != nil {
			return err
		}
		return x.run(ctx, w, false)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := readReply(in); err != nil {
		return err
	}
	if _, err = io.Copy(w, in); ctx.Err() != nil {
		return nil
	}
	return err
}

// lives reports whether a shim lives in a directory.
func lives(dir string) (bool, error) {
	lock, err := statedir.Lock(filepath.Join(dir, "lock"))
	if errors.Is(err, statedir.ErrLocked) {
		return true, nil
	}
	if err == nil {
		lock.Close()
	}
	return false, err
}

// dial sends a request. The connection is closed when ctx ends.
func dial(ctx context.Context, dir string, q request) (net.Conn, *bufio.Reader, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", filepath.Join(dir, "sock"))
	if err != nil {
		if held, lockErr := lives(dir); lockErr == nil && !held {
			return nil, nil, ErrGone
		}
		return nil, nil, err
	}
	context.AfterFunc(ctx, func() { c.Close() })
	line, err := json.Marshal(q)
	if err == nil {
		_, err = c.Write(append(line, '\n'))
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, bufio.NewReader(c), nil
}

func readReply(in *bufio.Reader) (State, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return State{}, fmt.Errorf("the shim did not answer: %w", err)
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return State{}, fmt.Errorf("the answer of the shim is not understood: %w", err)
	}
	if r.Error != "" {
		return State{}, &refusal{r.Error}
	}
	if r.State == nil {
		return State{}, errors.New("the answer of the shim has no state")
	}
	return *r.State, nil
}
