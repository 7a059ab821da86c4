package rpc

import (
	"bytes"
	"context"
	"net"
	"testing"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// silentListener hands out connections on which a server does not offer streams, as before there were any.
type silentListener struct{ net.Listener }

func (l silentListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return silentConn{nc}, nil
}

type silentConn struct{ net.Conn }

func (c silentConn) Write(b []byte) (int, error) {
	unknown := bytes.Repeat([]byte("x"), len(offerStreams))
	return c.Conn.Write(bytes.ReplaceAll(b, []byte(offerStreams), unknown))
}

// TestPeerOffersNoStreams: at a server that does not offer streams calls work, and a stream is refused unexecuted.
func TestPeerOffersNoStreams(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &feedHandler{}
	old := serveFeedOn(t, ServerConfig{}, f, silentListener{l})
	c, tc := feedClient(t, ClientConfig{}, old.feed())
	ctx := context.Background()
	for range 3 {
		_, err := openWatch(ctx, tc, 0, 1)
		wantCode(t, err, Unsupported, NotExecuted)
		_, err = openUpload(ctx, tc, "tag")
		wantCode(t, err, Unsupported, NotExecuted)
		_, err = openTalk(ctx, tc)
		wantCode(t, err, Unsupported, NotExecuted)
		if text, err := echo.NewFeedClient(tc).Plain(ctx, "a"); err != nil || text != "a?" {
			t.Errorf("a call beside refused streams: %q, %v", text, err)
		}
	}
	if n := old.Stats().Streams; n != 0 {
		t.Errorf("%d streams have reached the server", n)
	}
	rested(t, old, c, f)
}

// TestStreamsAvoidOldPeers: of a server that offers streams and one that does not, every stream is opened at the first.
func TestStreamsAvoidOldPeers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &feedHandler{}
	old, now := serveFeedOn(t, ServerConfig{}, f, silentListener{l}), serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, old.feed(), now.feed())
	for range 20 {
		st, err := openWatch(t.Context(), tc, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if st.Instance() == old.addr {
			t.Errorf("a stream was opened at %s, which has none", old.addr)
		}
		st.Close()
	}
	rested(t, now, c, f)
}
