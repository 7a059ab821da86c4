package operatorkey

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// ErrNoTerminal: the process has no terminal for a question.
var ErrNoTerminal = errors.New("there is no terminal to ask on")

// Ask asks on the terminal of the process, even if its streams are redirected, and does not show
// the typed text.
func Ask(prompt string) (string, error) {
	in, out, err := openTerminal()
	if err != nil {
		return "", ErrNoTerminal
	}
	defer in.Close()
	if out != in {
		defer out.Close()
	}
	return askOn(in, out, prompt)
}

// askOn holds the terminal in raw mode. Ctrl-C is then a character and ends the question,
// independent of the process's handling of the signal.
func askOn(in, out *os.File, prompt string) (string, error) {
	fd := int(in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", ErrNoTerminal
	}
	defer term.Restore(fd, before)
	line, err := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "").ReadPassword(prompt)
	if errors.Is(err, io.EOF) {
		return "", errors.New("the question was left unanswered")
	}
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	return line, nil
}
