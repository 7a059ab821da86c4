package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// runner runs "go test -json" with arguments and passes its events on. Its error is that of the
// command: a test failed, or the run itself did.
type runner func(args []string, add func(event)) error

func main() {
	if len(os.Args) > 3 && os.Args[1] == measured {
		os.Exit(measure(os.Args[2], os.Args[3:]))
	}
	flags, packages, err := split(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	l := lane{out: os.Stdout, test: goTest, flags: flags, packages: packages}
	ok, err := l.runMeasured()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		ok = false
	}
	if path := os.Getenv("GOTEST_UNSTEADY"); path != "" && len(l.unsteady) > 0 {
		if err := note(path, l.unsteady); err != nil {
			fmt.Fprintln(os.Stderr, "gotest: note unsteady tests:", err)
			ok = false
		}
	}
	if !ok {
		os.Exit(1)
	}
}

// split parts flags from packages. A flag with its value in the next argument
// would be cut in two, so it is refused.
func split(args []string) (flags, packages []string, err error) {
	for i, a := range args {
		switch {
		case !strings.HasPrefix(a, "-"):
			packages = append(packages, a)
		case len(packages) > 0:
			return nil, nil, fmt.Errorf("%s stands behind %s: flags come first, and -flag=value is one argument",
				a, args[i-1])
		default:
			flags = append(flags, a)
		}
	}
	for _, f := range flags {
		name := strings.TrimLeft(f, "-")
		if name != "race" && name != "v" && name != "short" && !strings.Contains(name, "=") {
			return nil, nil, fmt.Errorf("%s has no value: write %s=value", f, f)
		}
	}
	return flags, packages, nil
}

// note appends lines to a file that other lanes may be writing as well.
func note(path string, lines []string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, strings.Join(lines, "\n")+"\n")
	if failed := f.Close(); err == nil {
		err = failed
	}
	return err
}

// lane is one run of "go test" and its result.
type lane struct {
	out             io.Writer
	test            runner
	flags, packages []string

	unsteady []string // lines for the end of the whole run
}

// run reports whether the lane holds.
func (l *lane) run() bool {
	began := time.Now()
	r := newReport(l.out)
	err := l.test(append(l.flags[:len(l.flags):len(l.flags)], l.packages...), r.add)
	ok := r.holds(err)
	if !ok {
		for _, line := range r.why {
			fmt.Fprintln(l.out, line)
		}
		suspects, why := r.suspects()
		if why != "" {
			fmt.Fprintln(l.out, "nothing runs again:", why)
		}
		ok = l.again(suspects, r)
	}
	for _, line := range append(r.longest(), l.unsteady...) {
		fmt.Fprintln(l.out, line)
	}
	fmt.Fprintln(l.out, r.summary(time.Since(began)))
	return ok
}

// runMeasured is run, and prints the usage of each test binary.
func (l *lane) runMeasured() (ok bool, err error) {
	file, err := os.CreateTemp("", "gotest-usage-")
	if err != nil {
		return false, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	flag, err := measureFlag(file.Name())
	if err != nil {
		return false, err
	}
	l.flags = append(l.flags, flag)
	ok = l.run()
	all, err := readUsage(file)
	if err != nil {
		return false, err
	}
	root, err := os.Getwd()
	printUsage(l.out, root, all)
	return ok, err
}

// times is how often in a row a failed test must pass alone.
const times = 3

// again runs each failed test alone, and reports whether all passed every time.
func (l *lane) again(suspects []failure, first *report) bool {
	for _, f := range suspects {
		for n := range times {
			fmt.Fprintf(l.out, "=== %s of %s again, alone, %d of %d\n", f.Test, f.Package, n+1, times)
			r := newReport(l.out)
			if err := l.test(l.alone(f), r.add); !r.holds(err) {
				fmt.Fprintf(l.out, "=== %s failed again\n", f.Test)
				return false
			}
		}
		l.unsteady = append(l.unsteady, fmt.Sprintf(
			"UNSTEADY: %s (%s) FAILED BESIDE THE OTHERS AND PASSED %d OF %d ALONE: MEND IT TODAY",
			f.Test, f.Package, times, times))
		for _, said := range first.said[f] {
			l.unsteady = append(l.unsteady, "    "+said)
		}
	}
	return len(suspects) > 0
}

// alone returns the arguments that run one test with the flags of the lane.
func (l *lane) alone(f failure) (args []string) {
	for _, a := range l.flags {
		if !strings.HasPrefix(strings.TrimLeft(a, "-"), "run=") {
			args = append(args, a)
		}
	}
	return append(args, "-count=1", "-run=^"+f.Test+"$", f.Package)
}

// goTest is the runner.
func goTest(args []string, add func(event)) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	for in := bufio.NewReader(stdout); ; {
		line, err := in.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			add(e)
		} else {
			os.Stdout.Write(line)
		}
		if err != nil {
			break
		}
	}
	return cmd.Wait()
}
