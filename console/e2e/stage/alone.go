package stage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/testsite"
)

// inside is the environment variable of a process that is in the namespace already: the directory of the programs.
const inside = "SKERRY_CONSOLE_E2E"

// addresses are those of the hosts of the site, beside 127.0.0.1. All are on the loopback interface.
const addresses = "10.20.0."

// Alone runs play in a network namespace that has only a loopback interface, as a new process of this program with the
// same arguments, on a host with the name ops-1. It returns the status to exit with. It builds the programs of the
// site first.
func Alone(play func(T) int) int {
	t := &act{}
	if os.Getenv(inside) != "" {
		return t.run(func() int { return play(t) })
	}
	return t.run(func() int {
		bin, err := testsite.Programs("./cmd/skerry", "./examples/portal/cmd/auth", "./examples/portal/cmd/db",
			"./examples/portal/cmd/portal", "./examples/portal/cmd/proc", "./examples/historian/cmd/historian",
			"./examples/historian/cmd/sensors")
		if err != nil {
			t.Fatal(err)
		}
		host := lab.New(t, 1).Host(0)
		host.Disconnect(0)
		for i := range hosts {
			host.Run("ip", "addr", "add", fmt.Sprint(addresses, i+1, "/32"), "dev", "lo")
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := host.Command("unshare", append([]string{"--uts", "sh", "-c", `hostname ops-1 && exec "$0" "$@"`, self},
			os.Args[1:]...)...)
		cmd.Env = append(os.Environ(), inside+"="+bin)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err = cmd.Run()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return max(1, exit.ExitCode())
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0
	})
}

// Root is the directory of skerry's own module.
func Root(t T) string {
	t.Helper()
	dir, err := testsite.Root()
	if err != nil {
		t.Fatalf("find the module: %v", err)
	}
	return dir
}

// T is the part of a test that a site and a browser need.
type T interface {
	Helper()
	Cleanup(func())
	Error(args ...any)
	Errorf(format string, args ...any)
	Failed() bool
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	TempDir() string
}

// act is a T outside of a test.
type act struct {
	undo   []func()
	failed bool
}

// fatal is the panic of an act that has failed.
type fatal struct{}

// run runs f and what is to be undone afterwards, and returns the status to exit with.
func (t *act) run(f func() int) (status int) {
	defer func() {
		for len(t.undo) > 0 {
			last := t.undo[len(t.undo)-1]
			t.undo = t.undo[:len(t.undo)-1]
			last()
		}
	}()
	defer func() {
		r := recover()
		if _, known := r.(fatal); r != nil && !known {
			panic(r)
		}
		if t.failed {
			status = max(1, status)
		}
	}()
	return f()
}

func (t *act) Helper()          {}
func (t *act) Cleanup(f func()) { t.undo = append(t.undo, f) }
func (t *act) Failed() bool     { return t.failed }

func (t *act) Error(args ...any) {
	t.failed = true
	fmt.Fprintln(os.Stderr, args...)
}

func (t *act) Errorf(format string, args ...any) { t.Error(fmt.Sprintf(format, args...)) }

func (t *act) Fatal(args ...any) {
	t.Error(args...)
	panic(fatal{})
}

func (t *act) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }

func (t *act) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (t *act) TempDir() string {
	dir, err := os.MkdirTemp("", "skerry-console-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
