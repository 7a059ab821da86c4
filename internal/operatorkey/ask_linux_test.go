package operatorkey

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudoTerminal is a terminal with a file as keyboard and screen.
func pseudoTerminal(t *testing.T) (person, tty *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return person, tty
}

func TestAskShowsNothing(t *testing.T) {
	for _, c := range []struct{ keys, want, err string }{
		{"hunter2\r", "hunter2", ""},
		{"hunterx\x7f2\r", "hunter2", ""},
		{"hun\x03", "", "left unanswered"},
		{"\x04", "", "left unanswered"},
	} {
		person, tty := pseudoTerminal(t)
		before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		type answer struct {
			text string
			err  error
		}
		done := make(chan answer, 1)
		go func() {
			text, err := askOn(tty, tty, "Passphrase: ")
			done <- answer{text, err}
		}()
		screen := make([]byte, len("Passphrase: "))
		if _, err := io.ReadFull(person, screen); err != nil || string(screen) != "Passphrase: " {
			t.Fatalf("the prompt is %q, %v", screen, err)
		}
		if _, err := person.WriteString(c.keys); err != nil {
			t.Fatal(err)
		}
		var got answer
		select {
		case got = <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("no answer to %q", c.keys)
		}
		if got.text != c.want || (got.err == nil) != (c.err == "") ||
			got.err != nil && !strings.Contains(got.err.Error(), c.err) {
			t.Errorf("typed %q: %q, %v, want %q, %q", c.keys, got.text, got.err, c.want, c.err)
		}
		after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("typed %q: the terminal is left in another mode: %v", c.keys, err)
		}
		tty.WriteString("END")
		rest := make([]byte, 64)
		n, err := io.ReadAtLeast(person, rest, 3)
		if err != nil || strings.Contains(string(rest[:n]), "hun") {
			t.Errorf("typed %q: the screen shows %q, %v", c.keys, rest[:n], err)
		}
	}
}
