//go:build linux

package attack

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/rpc"
)

const mostGrowth = 96 << 10 // KiB that hostile input may cost a process

// visitor is an honest caller from another host, without a connection yet.
func (s *site) visitor(t *testing.T) identity {
	t.Helper()
	v := s.stranger()
	v.name, v.laptop = "visitor", s.on(1)
	if s.tls {
		v.cert = s.ca.client(t, s.ca)
	}
	return v
}

// visit makes honest calls, each on a connection of its own.
func (s *site) visit(t *testing.T, calls int) {
	t.Helper()
	v := s.visitor(t)
	for n := range calls {
		began := time.Now()
		c := v.client(t, s.addr("provider"), "auth")
		service, err := c.Service("auth", rpc.ServiceOptions{Timeout: 30 * time.Second})
		must(t, err)
		if who, err := authapi.NewAuthClient(service).Verify(t.Context(), ""); err != nil || who != "provider" {
			t.Errorf("call %d of a new caller: %q after %v: %v", n, who, time.Since(began), err)
		}
		_ = c.Close()
	}
}

// wire makes a raw connection, with TLS when the set-up has it and with is given.
func (s *site) wire(t *testing.T, addr string, with *tls.Config) (net.Conn, error) {
	t.Helper()
	nc, err := s.laptop().dial(t.Context(), addr)
	if err != nil || with == nil {
		return nc, err
	}
	with = with.Clone()
	with.ServerName = "10.77.0.1"
	shaken := tls.Client(nc, with)
	_ = shaken.SetDeadline(time.Now().Add(20 * time.Second))
	if err := shaken.Handshake(); err != nil {
		_ = nc.Close()
		return nil, err
	}
	_ = shaken.SetDeadline(time.Time{})
	return shaken, nil
}

// evil is the certificate that the laptop holds, in set-ups with certificates.
func (s *site) evil(t *testing.T) *tls.Config {
	t.Helper()
	if !s.tls {
		return nil
	}
	return s.ca.client(t, s.ca)
}

// occupy keeps connections of the laptop on which only first was sent. It replaces closed ones
// until stop.
func (s *site) occupy(t *testing.T, addr string, conns int, with *tls.Config, first []byte) (stop func() (made int64)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var made atomic.Int64
	for range conns {
		all.Go(func() {
			for ctx.Err() == nil {
				nc, err := s.wire(t, addr, with)
				if err != nil {
					time.Sleep(50 * time.Millisecond)
					continue
				}
				made.Add(1)
				done := context.AfterFunc(ctx, func() { _ = nc.Close() })
				_, _ = nc.Write(first)
				_, _ = io.Copy(io.Discard, nc)
				done()
				_ = nc.Close()
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	return func() int64 {
		cancel()
		all.Wait()
		return made.Load()
	}
}

// loris takes as many connections as are allowed, with two bytes on each.
func loris(t *testing.T, s *site) {
	stop := s.occupy(t, s.addr("provider"), connections+40, s.evil(t), []byte{0, 0})
	time.Sleep(2 * time.Second)
	s.visit(t, 10)
	made := stop()
	t.Logf("%d connections were made", made)
	if made < connections {
		t.Errorf("only %d connections were made: the attack proves nothing", made)
	}
	s.provider.says(t, 60, "connection closed", "closed to make room", s.lan.Host(laptopHost).IP(0))
}

// tlsStall begins handshakes and does not continue them.
func tlsStall(t *testing.T, s *site) {
	stop := s.occupy(t, s.addr("provider"), 2*connections, nil, []byte{0x16, 3, 1})
	time.Sleep(2 * time.Second)
	s.visit(t, 10)
	if made := stop(); made < 2*connections {
		t.Errorf("only %d connections were made: the attack proves nothing", made)
	}
	s.provider.says(t, 90, "connection closed", s.lan.Host(laptopHost).IP(0))
}

// frame is a call in THeader's framing, in the compact protocol. info are pairs of header fields.
func frame(seq uint32, zip bool, info []string, body []byte) []byte {
	head := []byte{2, 0} // compact, no transforms
	if zip {
		head = []byte{2, 1, 1}
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		_, _ = w.Write(body) // into memory
		_ = w.Close()
		body = b.Bytes()
	}
	head = append(head, 1)
	head = binary.AppendUvarint(head, uint64(len(info)/2))
	for _, text := range info {
		head = binary.AppendUvarint(head, uint64(len(text)))
		head = append(head, text...)
	}
	for len(head)%4 != 0 {
		head = append(head, 0)
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(10+len(head)+len(body)))
	out = append(out, 0x0f, 0xff, 0, 0)
	out = binary.BigEndian.AppendUint32(out, seq)
	out = binary.BigEndian.AppendUint16(out, uint16(len(head)/4))
	return append(append(out, head...), body...)
}

// message is the body of a call, with one argument.
func message(method string, argument []byte) []byte {
	b := []byte{0x82, 0x21, 0, byte(len(method))}
	b = append(append(b, method...), argument...)
	return append(b, 0)
}

// bomb is a list of so many empty strings.
func bomb(elements int) []byte {
	b := append([]byte{0x19, 0xf8}, binary.AppendUvarint(nil, uint64(elements))...)
	return append(b, make([]byte, elements)...)
}

// listBomb sends frames of some kilobytes that hold millions of elements. Frames for the
// framework's own service are never inflated. Those of users are, within the account of all
// requests.
func listBomb(t *testing.T, s *site) {
	const elements = 16_700_000
	zipped := frame(1, true, []string{"sk-s", "skerry.internal"}, message("bring", bomb(elements)))
	t.Logf("a bomb has %d bytes", len(zipped))
	s.bombard(t, mostGrowth, 8, zipped)
	s.bombard(t, 256<<10, 8, frame(1, false, []string{"sk-s", "skerry.internal"}, message("bring", bomb(900_000))))
	s.bombard(t, 512<<10, 8, frame(1, true, []string{"sk-s", "auth"}, message("verify", bomb(elements))))
}

// bombard sends each of the frames on several connections.
func (s *site) bombard(t *testing.T, mostGrown, conns int, frames ...[]byte) {
	t.Helper()
	before := s.provider.memory("VmRSS")
	// resets VmHWM
	must(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.provider.cmd.Process.Pid), []byte("5"), 0))
	var all sync.WaitGroup
	for _, b := range frames {
		for range conns {
			nc, err := s.wire(t, s.addr("provider"), s.evil(t))
			must(t, err)
			defer nc.Close()
			all.Go(func() {
				_ = nc.SetDeadline(time.Now().Add(time.Minute))
				if _, err := nc.Write(b); err != nil {
					return // it is closed already
				}
				answer := make([]byte, 4096)
				_, err := nc.Read(answer)
				if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
					t.Error("no answer, and the connection stands")
				}
			})
		}
	}
	all.Wait()
	grown := s.provider.memory("VmHWM") - before
	t.Logf("%d KiB more at most", grown)
	if grown > mostGrown {
		t.Errorf("the provider grew by %d KiB, at most %d are right", grown, mostGrown)
	}
}

// manyCallers calls under ever new names.
func manyCallers(t *testing.T, s *site) {
	before := s.provider.memory("VmRSS")
	nc, err := s.wire(t, s.addr("provider"), s.evil(t))
	must(t, err)
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	answers := make(chan error, 1)
	const calls = 600
	go func() {
		for range calls {
			var size [4]byte
			if _, err := io.ReadFull(nc, size[:]); err != nil {
				answers <- err
				return
			}
			if _, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(size[:]))); err != nil {
				answers <- err
				return
			}
		}
		answers <- nil
	}()
	text := bytes.Repeat([]byte("x"), 400<<10)
	argument := append(append([]byte{0x18}, binary.AppendUvarint(nil, uint64(len(text)))...), text...)
	for n := range calls {
		name := fmt.Sprintf("caller-%d", n)
		switch n % 4 {
		case 1:
			name += "\x00"
		case 2:
			name += "\x1b[2J\x1b[H"
		case 3:
			name += strings.Repeat("n", 8<<10)
		}
		if _, err := nc.Write(frame(uint32(n+1), false, []string{"sk-s", "auth", "sk-c", name},
			message("verify", argument))); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-answers; err != nil {
		t.Fatalf("the calls are not answered: %v", err)
	}
	time.Sleep(time.Second)
	grown := s.provider.memory("VmRSS") - before
	t.Logf("%d KiB more", grown)
	if grown > mostGrowth {
		t.Errorf("the provider keeps %d KiB", grown)
	}
	if n := strings.Count(s.provider.logged(), "\x1b") + strings.Count(s.provider.logged(), "\x00"); n > 0 {
		t.Errorf("the log holds %d control characters", n)
	}
}

// waiters call the framework's own service with the longest allowed wait.
func waiters(t *testing.T, s *site) {
	var all sync.WaitGroup
	var refused, answered atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	ask := func(i identity, wait bool) {
		c := i.internal(t, s.addr("provider"))
		for range 60 {
			all.Go(func() {
				for ctx.Err() == nil {
					var err error
					if wait {
						_, err = c.Report(ctx, 1, "1000", 3000)
					} else {
						err = c.Ping(ctx)
					}
					switch {
					case err == nil:
						answered.Add(1)
					case rpc.CodeOf(err) == rpc.Overloaded || rpc.CodeOf(err) == rpc.NotMember:
						refused.Add(1)
					}
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
	}
	for range 6 {
		ask(s.member(t), true)
		if i := s.stranger(); s.reaches(i) {
			ask(i, true)
		}
	}
	s.visit(t, 10)
	all.Wait()
	t.Logf("%d answered, %d refused", answered.Load(), refused.Load())
	if refused.Load() == 0 {
		t.Error("nothing was refused")
	}
}
