package callpath

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine says where something was measured, and how busy it is now.
func machine() string {
	cpu := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo") // elsewhere it stays unknown
	for _, line := range strings.Split(string(info), "\n") {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(model)
			break
		}
	}
	s := fmt.Sprintf("%d cores, %s, %s/%s", runtime.NumCPU(), cpu, runtime.GOOS, runtime.GOARCH)
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		s += " " + strings.TrimSpace(string(kernel))
	}
	s += ", " + runtime.Version()
	if busy, err := os.ReadFile("/proc/loadavg"); err == nil {
		s += ", load average " + strings.Join(strings.Fields(string(busy))[:2], " and ") + " (1 and 5 minutes)"
	}
	return s
}
