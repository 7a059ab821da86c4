package rpc

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// login calls skerry.login.
func login(nc net.Conn, token string, unordered bool) (reply []byte, err error) {
	fields := append([]byte{11, 0, 1, 0, 0, 0, byte(len(token))}, token...)
	if unordered {
		fields = append(fields, 2, 0, 2, 1)
	}
	if _, err := nc.Write(plainMessage(loginMethod, thrift.CALL, 1, fields...)); err != nil {
		return nil, err
	}
	return readFrame(nc)
}

func TestLoginComesFirst(t *testing.T) {
	r := serveRelay(t, ServerConfig{Login: func(token string) error {
		if token != "secret" {
			return errors.New("wrong token")
		}
		return nil
	}}, nil, socketPath(t))
	dial := func() net.Conn {
		nc, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	refused := func(nc net.Conn, reply []byte, text string) {
		t.Helper()
		if !bytes.Contains(reply, []byte(text)) {
			t.Errorf("reply %q", reply)
		}
		if _, err := readFrame(nc); err == nil {
			t.Error("the connection goes on")
		}
	}
	nc := dial()
	_, _ = nc.Write(plainMessage("echo:who", thrift.CALL, 1))
	reply, _ := readFrame(nc)
	refused(nc, reply, "the first call of a connection must be skerry.login")
	nc = dial()
	reply, _ = login(nc, "guessed", false)
	refused(nc, reply, "wrong token")
	nc = dial()
	if reply, err := login(nc, "secret", false); err != nil ||
		!bytes.HasSuffix(reply, []byte("skerry.login\x00\x00\x00\x01\x00")) {
		t.Errorf("%q, %v", reply, err)
	}
}

// Calls of one plain connection run side by side when its client allows that, else in order.
func TestUnorderedCallsRunSideBySide(t *testing.T) {
	for _, how := range []string{"ordered", "by login", "by configuration"} {
		s := serve(t, ServerConfig{}, &handler{})
		to, err := client(t, ClientConfig{}, s.endpoint()).Service("echo", ServiceOptions{Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		r := serveRelay(t, ServerConfig{Unordered: how == "by configuration"}, to, socketPath(t))
		nc, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if how == "by login" {
			if _, err := login(nc, "", true); err != nil {
				t.Fatal(err)
			}
		}
		// The first call sleeps for longer than the second one.
		_, _ = nc.Write(plainMessage("echo:sleep", thrift.CALL, 1, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 200))
		_, _ = nc.Write(plainMessage("echo:sleep", thrift.CALL, 2, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1))
		first, err := readFrame(nc)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]byte{true: 1, false: 2}[how == "ordered"]; first[16] != want {
			t.Errorf("%s: the reply to call %d came first", how, first[16])
		}
	}
}
