package membership

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/skerry/skerry/registry"
)

// processIdentity says where a process lives so exactly that a neighbour can certify
// its death: the boot of the host, the namespaces of processes and of time, and
// the tick at which the process started, as one sees it in such a namespace of
// time. It is "" where the system tells none of it.
func processIdentity(pid int) string {
	boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, err2 := os.Readlink("/proc/self/ns/pid")
	clock, _ := os.Readlink("/proc/self/ns/time") // older kernels have none
	start, _, err3 := startTick(pid)
	if err1 != nil || err2 != nil || err3 != nil {
		return ""
	}
	return fmt.Sprintf("%.8s/%s.%s/%s", boot, strings.Trim(namespace, "pid:[]"), strings.Trim(clock, "time:[]"), start)
}

// startTick reads when the process with the pid started, and whether it runs
// still: a process that was not waited for yet runs no more.
func startTick(pid int) (tick string, running bool, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false, err
	}
	// pid (name, which may hold anything) state ppid … starttime is the 22nd.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const state, start = 0, 22 - 3
	if len(fields) <= start {
		return "", false, fmt.Errorf("%q is no process status", text)
	}
	return fields[start], fields[state] != "Z" && fields[state] != "X", nil
}

// ended reports whether the process is dead for certain: it ran in this boot
// and namespace, and its pid is free or another's. Everything else is no.
func ended(o registry.Owner, where string, self registry.Owner) bool {
	here := processIdentity(os.Getpid())
	host, start := cutLast(where)
	if mine, _ := cutLast(here); here == "" || mine != host || o.Host != self.Host || o == self {
		return false
	}
	tick, running, err := startTick(o.PID)
	return errors.Is(err, fs.ErrNotExist) || err == nil && (tick != start || !running)
}

func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '/')
	return s[:max(i, 0)], s[i+1:]
}

// SameHost reports whether two processes ran in one boot of a host and one
// namespace of processes, by their places.
func SameHost(a, b string) bool {
	one, _ := cutLast(a)
	other, _ := cutLast(b)
	return one != "" && one == other
}
