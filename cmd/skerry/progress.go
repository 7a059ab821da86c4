package main

import (
	"fmt"
	"os"
)

// passing shows a line that the next one replaces. Only a terminal can do
// that; elsewhere nothing is shown.
func (a *app) passing(format string, args ...any) {
	if a.flags.json || !isTerminal(a.err) {
		return
	}
	a.spun = (a.spun + 1) % len(spinner)
	fmt.Fprintf(a.err, "\r%c "+format+"\x1b[K", append([]any{spinner[a.spun]}, args...)...)
	a.shown = true
}

var spinner = []rune(`|/-\`)

// wipe takes the passing line away.
func (a *app) wipe() {
	if a.shown {
		fmt.Fprint(a.err, "\r\x1b[K")
		a.shown = false
	}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
