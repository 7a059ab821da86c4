package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sshsig"
)

// openTerminal returns a terminal with a number of columns, and the end that shows its
// output.
func openTerminal(t *testing.T, columns int) (screen, command *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	command, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	return screen, command
}

// TestTheTerminalIsMeasured runs a command on terminals of several widths. Into a pipe,
// each row is one line.
func TestTheTerminalIsMeasured(t *testing.T) {
	file := filepath.Join(t.TempDir(), "operators")
	op := sshsig.Operator{
		Name: "zhang.wei", Key: sshsig.PublicKey{1}, Namespaces: sshsig.Namespaces,
		Comment: "zhang.wei@launch-control-7",
	}
	if err := keyfile.AddOperator(file, op); err != nil {
		t.Fatal(err)
	}
	for columns, lines := range map[int]int{80: 4, 200: 2, 0: 2} {
		screen, command := openTerminal(t, columns)
		var errs bytes.Buffer
		args := []string{"operator", "ls", "--file", file}
		if code := execute(t.Context(), args, strings.NewReader(""), command, &errs); code != exitOK {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		shown := make([]byte, 1<<16)
		n, err := screen.Read(shown) // an earlier write
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(shown[:n]), "\r\n", "\n")
		if strings.Count(text, "\n") != lines || !strings.Contains(text, op.Comment) {
			t.Errorf("%d columns, want %d lines:\n%s", columns, lines, text)
		}
		if columns > 0 {
			checkWidth(t, fmt.Sprint(columns, " columns"), text, columns)
		}
	}
	out := want(t, "", exitOK, op.Comment, "", "operator", "ls", "--file", file)
	if strings.Count(out, "\n") != 2 {
		t.Errorf("in a pipe:\n%s", out)
	}
}
