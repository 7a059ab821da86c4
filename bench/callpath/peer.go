package callpath

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/bench/benchproto"
	"github.com/skerry/skerry/bench/benchthrift"
)

// slowTime is how long the slow calls of a mixed load take.
const slowTime = 100 * time.Millisecond

// call makes one call with the given id and checks the answer. One with a
// negative id is slow.
type call func(ctx context.Context, id int64) error

// peer is one way to make the call.
type peer struct {
	name  string
	about string
	tls   bool // and needs the certificate
	// serve answers on ln until ctx ends.
	serve func(ctx context.Context, ln net.Listener) error
	// dial connects the client process; each worker then asks for its own call.
	dial func(ctx context.Context, addr string) (worker func() (call, error), err error)
}

// payload is what the calls of a client process carry.
var payload struct {
	text string
	tags map[string]string
}

// setPayload makes the message's fields sum up to size bytes.
func setPayload(size int) {
	payload.tags = map[string]string{"zone": "north", "unit": "pump-7"}
	used := 8
	for k, v := range payload.tags {
		used += len(k) + len(v)
	}
	payload.text = strings.Repeat("x", max(size-used, 1))
}

func thriftMsg(id int64) *benchthrift.Msg {
	return &benchthrift.Msg{Msg: payload.text, Tags: payload.tags, ID: id}
}

func protoMsg(id int64) *benchproto.Msg {
	return &benchproto.Msg{Msg: payload.text, Tags: payload.tags, Id: id}
}

func check(id int64, msg string, tags map[string]string, wantID int64) error {
	if id != wantID || len(msg) != len(payload.text) || len(tags) != len(payload.tags) {
		return fmt.Errorf("wrong answer: id %d, %d bytes, %d tags; want %d, %d, %d", id, len(msg), len(tags), wantID,
			len(payload.text), len(payload.tags))
	}
	return nil
}

func peers() []peer {
	all := skerryPeers()
	all = append(all, thriftPeers()...)
	return append(all, grpcPeer(), grpcMetadataPeer(), grpcTLSPeer(), drpcPeer(), netrpcPeer())
}

func peerNamed(name string) (peer, error) {
	var names []string
	for _, p := range slices.Concat(peers(), streamPeers(), []peer{stockPeer(), besidePeer()}) {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return peer{}, fmt.Errorf("no peer %q; there are %s", name, strings.Join(names, ", "))
}
