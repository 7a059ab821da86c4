package heap

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// groupLimit is the memory limit of the process's control group, 0 without
// one. In a container its root is the group.
func groupLimit() int {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	return limitOf(string(groups), func(path string) string {
		text, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup", path))
		return string(text)
	})
}

// limitOf returns the lowest limit of the groups in the text of /proc/self/cgroup and of their
// parents. read returns a file below the mount point, "" when there is none.
func limitOf(groups string, read func(path string) string) int {
	lowest := int64(0)
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, file := "", "memory.max"
		switch fields[1] {
		case "":
		case "memory":
			mount, file = "memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for path := filepath.Clean("/" + fields[2]); ; path = filepath.Dir(path) {
			n, err := strconv.ParseInt(strings.TrimSpace(read(filepath.Join(mount, path, file))), 10, 64)
			if err == nil && n > 0 && n < 1<<50 &&
				(lowest == 0 || n < lowest) { // version 1 writes a huge number for no limit
				lowest = n
			}
			if path == "/" {
				break
			}
		}
	}
	return int(min(lowest, math.MaxInt))
}
