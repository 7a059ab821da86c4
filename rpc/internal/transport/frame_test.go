package transport

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/skerry/skerry/rpc/internal/theader"
)

// Frames of every size arrive unchanged, in whatever pieces they come, on sockets and on other
// connections.
func TestFrames(t *testing.T) {
	var all []byte
	sizes := []int{
		0,
		1,
		1000,
		smallBuffer,
		40_000,
		LargeBuffer - lengthWord,
		LargeBuffer - lengthWord + 1,
		LargeBuffer,
		100_000,
		1 << 20,
		1<<20 + 77,
		5 << 20,
	}
	sizes = append(sizes, sizes...)
	for _, n := range sizes {
		frame := make([]byte, n)
		_, _ = rand.Read(frame)
		all = append(binary.BigEndian.AppendUint32(all, uint32(n)), frame...)
	}
	for name, pair := range map[string]func(*testing.T) (net.Conn, net.Conn){"socket": socketPair, "pipe": pipePair} {
		for _, piece := range []int{7, 1000, 70_000, len(all)} {
			if piece == 7 && name == "pipe" {
				continue // takes long
			}
			near, far := pair(t)
			go func() {
				for b := all; len(b) > 0; {
					n := min(piece, len(b))
					if piece == 7 && len(b) < len(all)-300_000 {
						n = len(b)
					}
					if _, err := far.Write(b[:n]); err != nil {
						return
					}
					b = b[n:]
				}
			}()
			in := NewReader(near, theader.Limits{}, nil)
			wantFrames(t, in, all, len(sizes))
			_ = far.Close()
			if _, err := in.Frame(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		}
	}
}

func wantFrames(t *testing.T, in *Reader, all []byte, n int) {
	t.Helper()
	for i := range n {
		frame, err := in.Frame()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if want := string(all[lengthWord : lengthWord+len(frame)]); frame != want ||
			len(frame) != int(binary.BigEndian.Uint32(all)) {
			t.Fatalf("frame %d has other bytes than were sent", i)
		}
		all = all[lengthWord+len(frame):]
	}
}

func pipePair(*testing.T) (near, far net.Conn) { return net.Pipe() }

func socketPair(t *testing.T) (near, far net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}
