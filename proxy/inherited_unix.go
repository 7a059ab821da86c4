//go:build unix

package proxy

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// firstInherited is the descriptor of the first socket that a service manager hands over.
const firstInherited = 3

// inheritedListeners returns the listeners that a service manager such as systemd holds for this
// process (LISTEN_PID, LISTEN_FDS), by network and address. They outlive the process: connections that
// come between two proxies wait.
func inheritedListeners() (inherited, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // for another process
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxInherited {
		return nil, fmt.Errorf("LISTEN_FDS=%q is no number of sockets from 0 to %d", count, maxInherited)
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // they are not for child processes
	}
	list := inherited{}
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		f := os.NewFile(uintptr(fd), "inherited")
		l, err := net.FileListener(f) // a duplicate
		_ = f.Close()
		if err != nil {
			list.close()
			return nil, fmt.Errorf("descriptor %d of LISTEN_FDS is no listening socket: %w", fd, err)
		}
		list[listenerName(l)] = l
	}
	return list, nil
}
