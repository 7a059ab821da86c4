package registry

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuOf is the processor time of a process, of all that it has started, and
// of those among them that have ended.
func cpuOf(pid int) time.Duration {
	total := ended(pid)
	for _, p := range tree(pid) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p)) // the pattern is well-formed
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err != nil {
				continue // ended meanwhile
			}
			first, _, _ := strings.Cut(string(b), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			total += time.Duration(ns)
		}
	}
	return total
}

// ended is the processor time of a process's children that have ended, in the
// kernel's hundredths of a second.
func ended(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0
	}
	user, _ := strconv.Atoi(fields[13])
	system, _ := strconv.Atoi(fields[14])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// tree is a process and its descendants.
func tree(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, list := range lists {
			b, _ := os.ReadFile(list) // empty when it ended meanwhile
			for _, f := range strings.Fields(string(b)) {
				if child, err := strconv.Atoi(f); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// sentAndReceived counts the bytes of the connections that a local port has
// now, as the kernel does; 0 where ss is missing.
func sentAndReceived(ctx context.Context, port int) (bytes int64) {
	out, err := exec.CommandContext(ctx, "ss", "-tinH", "state", "established",
		fmt.Sprintf("( sport = :%d )", port)).Output()
	if err != nil {
		return 0
	}
	for _, f := range strings.Fields(string(out)) {
		name, value, ok := strings.Cut(f, ":")
		if ok && (name == "bytes_sent" || name == "bytes_received") {
			n, _ := strconv.ParseInt(value, 10, 64)
			bytes += n
		}
	}
	return bytes
}
