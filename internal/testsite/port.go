package testsite

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// Ports below those that a kernel gives to sockets that ask for none: no socket
// takes one by chance between its choice and its use. A node of the LAN takes
// up to a hundred after its own, so they are handed out in blocks. The last one
// of a block stays open until the test ends: the block is taken.
const (
	firstPort = 10240
	portBlock = 128
	blocks    = 150
)

var taken atomic.Int64

// T is what Port needs of a test or a benchmark.
type T interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Port is a UDP port that is free, and that no other test of this process or
// its neighbours has until this one ends.
func Port(t T) int {
	t.Helper()
	for range blocks {
		block := (int64(os.Getpid())*7 + taken.Add(1)) % blocks
		port := firstPort + portBlock*int(block)
		lock, err := net.ListenPacket("udp4", ":"+strconv.Itoa(port+portBlock-1))
		if err != nil {
			continue
		}
		socket, err := net.ListenPacket("udp4", ":"+strconv.Itoa(port))
		if err != nil {
			lock.Close()
			continue
		}
		t.Cleanup(func() { lock.Close() })
		if err := socket.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatalf("no UDP port is free from %d to %d in steps of %d", firstPort, firstPort+blocks*portBlock, portBlock)
	return 0
}
