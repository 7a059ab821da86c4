//go:build linux

package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// neighbours is how many addresses of neighbours the machine's hosts may know together. The kernel
// has one table for all network namespaces, of 1,024 entries. 32 hosts that know each other take
// 992 of them, and with a full table no host can send to a new neighbour. A real host has a table
// of its own.
const neighbours = 1 << 16

// makeRoom makes the table large enough, and fails the test when a LAN of n hosts would not fit in
// the existing one.
func makeRoom(t T, n int) {
	t.Helper()
	for _, family := range []string{"ipv4", "ipv6"} {
		dir := "/proc/sys/net/" + family + "/neigh/default/"
		text, err := os.ReadFile(dir + "gc_thresh3")
		if err != nil {
			continue // the machine has no IPv6
		}
		have, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || have >= neighbours {
			continue
		}
		for _, limit := range []string{"gc_thresh3", "gc_thresh2", "gc_thresh1"} {
			if err = os.WriteFile(dir+limit, fmt.Append(nil, neighbours), 0o644); err != nil && n*n > have {
				t.Fatalf(
					"lab: the machine's table of %s neighbours has %d places, %d hosts need %d: set "+
						"net.%s.neigh.default.gc_thresh1, 2 and 3 to %d: %v",
					family,
					have,
					n,
					n*n,
					family,
					neighbours,
					err,
				)
			}
		}
	}
}
