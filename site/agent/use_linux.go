package agent

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// use is what the instance of a process takes now: the memory of all its processes, and their processor time since its
// start. What its control group does not tell is that of the process alone; 0 is not known.
func use(pid int) (memory int64, cpu time.Duration) {
	if group := groupOf(pid); group != "" {
		memory, _ = strconv.ParseInt(fieldOf(group+"/memory.stat", "anon"), 10, 64)
		usec, _ := strconv.ParseInt(fieldOf(group+"/cpu.stat", "usage_usec"), 10, 64)
		cpu = time.Duration(usec) * time.Microsecond
	}
	if memory == 0 {
		text := strings.TrimSuffix(fieldOf(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:"), " kB")
		kib, _ := strconv.ParseInt(text, 10, 64)
		memory = kib << 10
	}
	if cpu == 0 {
		cpu = timeOf(pid)
	}
	return memory, cpu
}

// timeOf is the processor time of one process.
func timeOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name of the program
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // a tick of Linux for programs
}

// groupOf is the directory of an instance's control group; "" without one of its own.
func groupOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(text), "\n") {
		name, is := strings.CutPrefix(line, "0::")
		if is && strings.HasPrefix(path.Base(name), "skerry-") {
			for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
				if _, err := os.Stat(mount + name + "/cpu.stat"); err == nil {
					return mount + name
				}
			}
		}
	}
	return ""
}

// fieldOf is the text behind a name at the beginning of a line.
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, is := strings.CutPrefix(line, name); is && rest != strings.TrimSpace(rest) {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
