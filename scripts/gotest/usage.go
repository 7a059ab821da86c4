package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// measured is the first argument by which gotest starts itself in front of a test binary.
const measured = "-measured"

// usage is what one test binary took, with the processes that it started and waited for.
type usage struct {
	dir       string // of the package, without blanks
	wall, cpu time.Duration
}

// measureFlag is the flag of "go test" that has each test binary measured into a file.
func measureFlag(file string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(self+file, " '\"") {
		return "", fmt.Errorf("the paths %s and %s can't be arguments of -exec", self, file)
	}
	return "-exec=" + self + " " + measured + " " + file, nil
}

// measure runs a test binary, appends its usage to a file, and returns the exit status of the binary.
func measure(file string, command []string) int {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The go command sends a signal to a binary that does not end, to print its goroutines.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGTERM, os.Interrupt)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		return 1
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	dir, _ := os.Getwd()
	used := usage{dir: dir, wall: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if failed := note(file, []string{used.line()}); failed != nil {
		fmt.Fprintln(os.Stderr, "gotest: note the time of a package:", failed)
		return 1
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	default:
		fmt.Fprintln(os.Stderr, err) // "signal: killed", in the go command's words
		return 1
	}
}

func (u usage) line() string {
	return fmt.Sprintf("%d %d %s", u.wall.Milliseconds(), u.cpu.Milliseconds(), u.dir)
}

// readUsage reads the lines of a file, the longest first. Lines of one package are added up.
func readUsage(in io.Reader) ([]usage, error) {
	var all []usage
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var u usage
		var wall, cpu int64
		if _, err := fmt.Sscanf(lines.Text(), "%d %d %s", &wall, &cpu, &u.dir); err != nil {
			return nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		i := slices.IndexFunc(all, func(o usage) bool { return o.dir == u.dir })
		if i < 0 {
			all = append(all, u)
			i = len(all) - 1
		}
		all[i].wall += time.Duration(wall) * time.Millisecond
		all[i].cpu += time.Duration(cpu) * time.Millisecond
	}
	slices.SortStableFunc(all, func(a, b usage) int { return int(b.wall - a.wall) })
	return all, lines.Err()
}

// printUsage prints a line for each package that took a second or more of anything, and the sum of all.
func printUsage(out io.Writer, root string, all []usage) {
	var sum usage
	for _, u := range all {
		sum.wall += u.wall
		sum.cpu += u.cpu
		if u.wall < time.Second && u.cpu < time.Second {
			continue
		}
		name, err := filepath.Rel(root, u.dir)
		if err != nil {
			name = u.dir
		}
		fmt.Fprintf(out, "used: %6.1f s, %6.1f s of processor: %s\n", u.wall.Seconds(), u.cpu.Seconds(), name)
	}
	fmt.Fprintf(out, "used: %6.1f s, %6.1f s of processor: all test binaries\n", sum.wall.Seconds(), sum.cpu.Seconds())
}
