package callpath

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/bench/benchthrift"
)

// deafness is what callers did that never read, and what it did to others.
type deafness struct {
	Callers  int
	Sent     int // bytes, by all of them
	Cut      int // how many the server has cut off
	OtherP99 time.Duration
}

// deafTime is longer than a server of skerry waits for a caller to read.
const deafTime = 15 * time.Second

// beDeaf sends calls on many connections without ever reading, as fast as the
// server takes them. gRPC's own flow control needs no such test: a caller that
// does not read can't send.
func (c *crowdClient) beDeaf() (d deafness, err error) {
	if c.deaf == 0 || c.peer == "grpc" {
		return d, nil
	}
	request, err := rawRequest(c.peer == "skerry")
	if err != nil {
		return d, err
	}
	other, err := c.alone()
	if err != nil {
		return d, err
	}
	var wg sync.WaitGroup
	var sent, cut atomic.Int64
	for range c.deaf {
		nc, err := net.Dial("tcp", c.addr)
		if err != nil {
			return d, err
		}
		defer nc.Close()
		wg.Go(func() {
			n, open := pour(nc, request, deafTime)
			sent.Add(int64(n))
			if !open {
				cut.Add(1)
			}
		})
	}
	h, err := nowAndThen(c.ctx, other, deafTime)
	if err != nil {
		return d, err
	}
	wg.Wait()
	return deafness{c.deaf, int(sent.Load()), int(cut.Load()), h.quantile(0.99)}, nil
}

// pour writes requests one after the other; open says that neither side has ended
// the connection.
func pour(nc net.Conn, request []byte, window time.Duration) (n int, open bool) {
	end := time.Now().Add(window)
	_ = nc.SetWriteDeadline(end) // a connection that can't do it fails at once
	own := append([]byte(nil), request...)
	for seq := uint32(1); time.Now().Before(end); seq++ {
		if own[4] == 0x0f { // a header frame: each call has a number of its own
			binary.BigEndian.PutUint32(own[8:], seq)
		}
		wrote, err := nc.Write(own)
		n += wrote
		if err != nil {
			timeout, ok := err.(net.Error)
			return n, ok && timeout.Timeout()
		}
	}
	return n, true
}

// rawRequest is a call as it goes over the wire: framed, or in a header frame
// of a sender that takes replies in any order.
func rawRequest(header bool) ([]byte, error) {
	ctx := context.Background()
	buffer := thrift.NewTMemoryBuffer()
	conf := &thrift.TConfiguration{}
	var p thrift.TProtocol = thrift.NewTBinaryProtocolConf(thrift.NewTFramedTransportConf(buffer, conf), conf)
	if header {
		p = thrift.NewTHeaderProtocolConf(thrift.NewTHeaderTransportConf(buffer, conf), conf)
	}
	args := benchthrift.EchoEchoArgs{M: thriftMsg(1)}
	for _, step := range []func() error{
		func() error { return p.WriteMessageBegin(ctx, "echo", thrift.CALL, 1) },
		func() error { return args.Write(ctx, p) },
		func() error { return p.WriteMessageEnd(ctx) },
		func() error { return p.Flush(ctx) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("write a request: %w", err)
		}
	}
	b := buffer.Bytes()
	if header {
		binary.BigEndian.PutUint16(b[6:], 1) // replies in any order
	}
	return b, nil
}
