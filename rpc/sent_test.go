package rpc

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// noter is a relay whose one-way calls end when they are released.
type noter struct {
	*relay
	begun   chan string // the context of each one-way call
	release map[string]chan struct{}
}

func newNoter(t *testing.T, cfg ServerConfig, contexts ...string) *noter {
	n := &noter{begun: make(chan string, len(contexts)), release: map[string]chan struct{}{}}
	for _, text := range contexts {
		n.release[text] = make(chan struct{})
	}
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	to, err := client(t, ClientConfig{}, s.endpoint()).Service("echo", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.relay = serveRelay(t, cfg, to, socketPath(t))
	n.seen = func(_ context.Context, info *CallInfo, args *Raw) {
		if info.OneWay {
			n.begun <- args.Context
			<-n.release[args.Context]
		}
	}
	t.Cleanup(func() {
		for _, c := range n.release {
			close(c)
		}
	})
	return n
}

// note sends a one-way call under each context.
func (n *noter) note(nc net.Conn, contexts ...string) {
	for i, text := range contexts {
		args := append([]byte{11, 0, 1, 0, 0, 0, 1}, 'x')
		_, _ = nc.Write(plainMessage("ctx="+text+";echo:note", thrift.ONEWAY, int32(100+i), args...))
	}
}

// end lets a one-way call end.
func (n *noter) end(text string) { n.release[text] <- struct{}{} }

func dialRelay(t *testing.T, n *noter) net.Conn {
	t.Helper()
	nc, err := net.Dial("unix", n.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// nothingBefore fails the test when a message arrives. It returns when a call after it is answered.
func nothingBefore(t *testing.T, nc net.Conn, number byte) {
	t.Helper()
	_, _ = nc.Write(plainMessage("echo:who", thrift.CALL, int32(number)))
	reply, err := readFrame(nc)
	if err != nil || !bytes.Contains(reply, append([]byte("who\x00\x00\x00"), number)) {
		t.Fatalf("%q, %v came before the reply to call %d", reply, err, number)
	}
}

// answered reads the reply to a call of skerry.sent.
func answered(t *testing.T, nc net.Conn, number byte) {
	t.Helper()
	reply, err := readFrame(nc)
	if err != nil || !bytes.HasSuffix(reply, append([]byte("skerry.sent\x00\x00\x00"), number, 0)) {
		t.Fatalf("%q, %v, want the reply to call %d", reply, err, number)
	}
}

// On a connection whose calls run side by side, skerry.sent waits for the one-way calls before it:
// for those with its context, or for all.
func TestSentWaitsForTheOneWayCallsBeforeIt(t *testing.T) {
	n := newNoter(t, ServerConfig{Unordered: true}, "one", "two")
	nc := dialRelay(t, n)
	n.note(nc, "one", "two")
	_, _ = nc.Write(plainMessage("ctx=three;skerry.sent", thrift.CALL, 1))
	answered(t, nc, 1)
	_, _ = nc.Write(plainMessage("ctx=one;skerry.sent", thrift.CALL, 2))
	_, _ = nc.Write(plainMessage("skerry.sent", thrift.CALL, 3))
	<-n.begun
	<-n.begun
	nothingBefore(t, nc, 4)
	n.end("one")
	answered(t, nc, 2)
	nothingBefore(t, nc, 5)
	n.end("two")
	answered(t, nc, 3)
	_, _ = nc.Write(plainMessage("skerry.sent", thrift.CALL, 6))
	answered(t, nc, 6)
}

// On an ordered connection the order does it.
func TestSentIsAnsweredInOrder(t *testing.T) {
	n := newNoter(t, ServerConfig{}, "one")
	nc := dialRelay(t, n)
	n.note(nc, "one")
	_, _ = nc.Write(plainMessage("ctx=one;skerry.sent", thrift.CALL, 1))
	<-n.begun
	_ = nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if got, err := nc.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came before the one-way call had ended", got)
	}
	n.end("one")
	answered(t, nc, 1)
}

// A server that drains answers skerry.sent once the one-way calls before it have ended.
func TestSentIsAnsweredWhileDraining(t *testing.T) {
	for _, how := range []string{"drain", "hand over"} {
		n := newNoter(t, ServerConfig{Unordered: true}, "one")
		nc := dialRelay(t, n)
		n.note(nc, "one")
		_, _ = nc.Write(plainMessage("ctx=one;skerry.sent", thrift.CALL, 1))
		<-n.begun
		nothingBefore(t, nc, 2) // the call of skerry.sent was read
		ended := make(chan error, 1)
		go func() {
			stop := n.Drain
			if how == "hand over" {
				stop = n.Handover
			}
			ended <- stop(t.Context())
		}()
		n.end("one")
		answered(t, nc, 1)
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// The one-way call of a skerry client is accepted when the relay has passed it on: a proxy passes
// calls with the words of an earlier one on to that one.
func TestARelayAcceptsAOneWayCallWhenItIsPassedOn(t *testing.T) {
	n := newNoter(t, ServerConfig{}, "")
	c := client(t, ClientConfig{
		Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.path)
		},
	}, &Endpoint{ID: "relay", Service: "echo", Addr: n.path})
	to, err := c.Service("echo", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := to.Call(t.Context(), "note", &Raw{}, nil)
		done <- err
	}()
	<-n.begun
	if _, err := to.Call(t.Context(), "who", &Raw{}, &Raw{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Errorf("the call was accepted before it was passed on: %v", err)
	default:
	}
	n.end("")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A client may not have more waiting calls than running ones. A number in use is refused.
func TestSentIsLimited(t *testing.T) {
	n := newNoter(t, ServerConfig{Unordered: true, MaxConnCalls: 2}, "one")
	nc := dialRelay(t, n)
	n.note(nc, "one")
	_, _ = nc.Write(plainMessage("skerry.sent", thrift.CALL, 100))
	if reply, err := readFrame(nc); err != nil || !bytes.Contains(reply, []byte("sequence number 100 is in use")) {
		t.Errorf("%q, %v", reply, err)
	}
	_, _ = nc.Write(plainMessage("skerry.sent", thrift.CALL, 1))
	_, _ = nc.Write(plainMessage("skerry.sent", thrift.CALL, 2))
	if reply, err := readFrame(nc); err != nil ||
		!bytes.Contains(reply, []byte("2 calls are running on one connection")) {
		t.Errorf("%q, %v", reply, err)
	}
	n.end("one")
	answered(t, nc, 1)
}
