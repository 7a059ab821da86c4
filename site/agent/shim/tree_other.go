//go:build !linux && !windows

package shim

import (
	"errors"
	"os"
	"time"
)

var errSystem = errors.New("shims run on Linux and Windows")

// tree is missing on this system.
type tree struct {
	wake    chan os.Signal
	started time.Time
}

func newTree(*Spec, string) (*tree, []string, error)   { return nil, nil, errSystem }
func (t *tree) close()                                 {}
func (t *tree) start(*Spec, *os.File) (Process, error) { return Process{}, errSystem }
func (t *tree) signal(string)                          {}
func (t *tree) collect() (Exit, bool)                  { return Exit{}, false }
func (t *tree) kill(time.Duration) (left int)          { return 0 }
func bootID() string                                   { return "" }
func self() Process                                    { return Process{PID: os.Getpid()} }
func sweep(string, *Spec) error                        { return errSystem }

// Cgroup returns "": only Linux has control groups.
func Cgroup() string { return "" }
