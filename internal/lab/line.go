//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerry/skerry/internal/run"
)

// Line is the connection between a host and its switch: a radio link, a satellite, a tunnel with a
// smaller MTU than it announces.
type Line struct {
	Delay  time.Duration // of each frame, one way
	Jitter time.Duration // largest additional delay; frames overtake each other
	Loss   float64       // per cent, each way
	Most   int           // bytes of an IP packet; longer ones are dropped without an ICMP message; 0: all pass
}

// frameRoom holds the longest frame of a veth, with the header before it.
const frameRoom = 1 << 17

// vnetHeader is the header that the kernel puts before a frame: how to segment the frame, and the
// missing parts of its checksum. It is passed on unchanged.
const vnetHeader = 10

// Line puts a line between the host and LAN 0, for as long as the test lasts.
// Called again, it changes the line.
func (h *Host) Line(l Line) {
	h.lan.t.Helper()
	if h.line != nil {
		h.line.Store(&l)
		return
	}
	h.line = &atomic.Pointer[Line]{}
	h.line.Store(&l)
	hub, near, far := h.lan.hub(), fmt.Sprintf("n%d", h.Index), fmt.Sprintf("f%d", h.Index)
	h.lan.ip("-n", hub, "link", "add", near, "type", "veth", "peer", "name", far)
	h.lan.ip("-n", hub, "link", "set", h.port(0), "nomaster")
	h.lan.ip("-n", hub, "link", "set", far, "master", "br0", "up")
	h.lan.ip("-n", hub, "link", "set", near, "up")
	var ends [2]*os.File
	for i, iface := range []string{h.port(0), near} {
		end, err := packets(hub, iface)
		if err != nil {
			h.lan.t.Fatalf("lab: a line of host %d: %v", h.Index, err)
		}
		h.lan.t.Cleanup(func() { _ = end.Close() })
		ends[i] = end
	}
	group := run.NewGroup(context.Background())
	group.Go(func(context.Context) error { return carry(ends[0], ends[1], h.line) })
	group.Go(func(context.Context) error { return carry(ends[1], ends[0], h.line) })
}

// packets opens a socket that reads and writes the frames of an interface in a namespace.
func packets(namespace, iface string) (end *os.File, err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open("/var/run/netns/" + namespace)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	end, err = openPackets(iface)
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err // the thread stays locked: no other goroutine may run in that namespace
	}
	runtime.UnlockOSThread()
	return end, err
}

func openPackets(iface string) (*os.File, error) {
	const everything = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	index, err := interfaceIndex(fd, iface)
	if err := errors.Join(err,
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: index})); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), iface), nil
}

func interfaceIndex(fd int, name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
	return int(req.Uint32()), err
}

// carry forwards frames from one socket to another with the effects of the line, until the sockets
// are closed.
func carry(from, to *os.File, line *atomic.Pointer[Line]) error {
	buf := make([]byte, frameRoom)
	for {
		n, err := from.Read(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return nil // closed
		}
		l := line.Load()
		if rand.Float64()*100 < l.Loss || l.Most > 0 && packetSize(buf[:n]) > l.Most {
			continue
		}
		frame := append([]byte(nil), buf[:n]...)
		wait := l.Delay
		if l.Jitter > 0 {
			wait += rand.N(l.Jitter)
		}
		if wait == 0 {
			_, _ = to.Write(frame) // a frame without room is lost
			continue
		}
		time.AfterFunc(wait, func() { _, _ = to.Write(frame) })
	}
}

// packetSize is the length of the IP packets of a frame. A frame may hold several packets that the
// kernel has not segmented yet.
func packetSize(frame []byte) int {
	const ethernet = 14
	if len(frame) < vnetHeader {
		return 0
	}
	if frame[1] == unix.VIRTIO_NET_HDR_GSO_NONE {
		return len(frame) - vnetHeader - ethernet
	}
	head, segment := binary.NativeEndian.Uint16(frame[2:]), binary.NativeEndian.Uint16(frame[4:])
	return int(head) - ethernet + int(segment)
}
