//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
)

// frame is what internal/lab requires of its user.
type frame struct {
	cleanups []func()
	ends     atomic.Bool // processes that stop now are stopped by the run itself
}

func (f *frame) over() bool { return f.ends.Load() }

// broken is why the site itself could not be made or controlled.
type broken string

func (f *frame) Helper()          {}
func (f *frame) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }
func (f *frame) Fatal(args ...any) {
	panic(broken(fmt.Sprint(args...)))
}
func (f *frame) Fatalf(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

// must ends the run when a step of it fails.
func (f *frame) must(err error) {
	if err != nil {
		f.Fatal(err)
	}
}

// end removes the site in any case.
func (f *frame) end(status *int) {
	f.ends.Store(true)
	if why := recover(); why != nil {
		fmt.Fprintln(os.Stderr, "soak:", why)
		if _, ours := why.(broken); !ours {
			debug.PrintStack()
		}
		*status = 2
	}
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
}
