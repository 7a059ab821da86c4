package main

import "github.com/skerry/skerry/internal/quote"

// passing shows a line that the next one replaces. It shows nothing outside a terminal.
func (a *app) passing(format string, args ...any) {
	if a.flags.json || !a.err.Terminal() {
		return
	}
	a.spun = (a.spun + 1) % len(spinner)
	a.err.Overwrite(quote.Sprintf("%c "+format, append([]any{spinner[a.spun]}, args...)...))
	a.shown = true
}

var spinner = []rune(`|/-\`)

// wipe removes the passing line.
func (a *app) wipe() {
	if a.shown {
		a.err.Wipe()
		a.shown = false
	}
}
