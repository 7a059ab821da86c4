package registry

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Owner names a process: its host, its process id, and its boot epoch. It owns leases and sends LAN
// packets.
type Owner struct {
	Host  string // the host's own name, for display; at most 63 bytes
	PID   int
	Epoch int64 // start by its own clock, µs since 1970; ordered only among epochs of one host and pid
}

// NewOwner names the calling process, as started now. Two calls give two owners, so a process calls
// it once.
func NewOwner() Owner {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	if len(host) > 63 {
		host = host[:63]
	}
	host = strings.ReplaceAll(host, "/", "-")
	return Owner{Host: host, PID: os.Getpid(), Epoch: time.Now().UnixMicro()}
}

// String is host/pid/epoch with the epoch in base 36; ParseOwner reads it.
func (o Owner) String() string {
	return o.Host + "/" + strconv.Itoa(o.PID) + "/" + strconv.FormatInt(o.Epoch, 36)
}

// ParseOwner reads the text of String.
func ParseOwner(s string) (Owner, error) {
	host, rest, ok1 := strings.Cut(s, "/")
	pid, epoch, ok2 := strings.Cut(rest, "/")
	p, err1 := strconv.Atoi(pid)
	e, err2 := strconv.ParseInt(epoch, 36, 64)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || host == "" {
		return Owner{}, fmt.Errorf("owner %q: want host/pid/epoch", s)
	}
	return Owner{Host: host, PID: p, Epoch: e}, nil
}
