package rpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// message returns the next message of an unframed stream. Where it ends is
// known only by reading it through.
func (f *frameReader) message(compact bool) (string, error) {
	if err := f.await(); err != nil {
		return "", err
	}
	limit := f.limits.Frame
	if limit <= 0 {
		limit = theader.DefaultFrame
	}
	t := &tee{f: f, left: limit}
	conf := &thrift.TConfiguration{MaxMessageSize: int32(min(limit, math.MaxInt32))}
	var p thrift.TProtocol = thrift.NewTBinaryProtocolConf(t, conf)
	if compact {
		p = thrift.NewTCompactProtocolConf(t, conf)
	}
	ctx := context.Background()
	if _, _, _, err := p.ReadMessageBegin(ctx); err != nil {
		return "", t.cause(err)
	}
	if err := p.Skip(ctx, thrift.STRUCT); err != nil {
		return "", t.cause(err)
	}
	b := t.read
	return unsafe.String(unsafe.SliceData(b), len(b)), nil
}

// tee is the transport that message reads through; it remembers all bytes.
type tee struct {
	f    *frameReader
	read []byte
	left int // of the limit
	err  error
}

var errMessageTooLarge = fmt.Errorf("unframed message is %w", theader.ErrTooLarge)

func (t *tee) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if t.left <= 0 {
		t.err = errMessageTooLarge
		return 0, t.err
	}
	each := framePatience
	if len(t.read) < theader.Sniff {
		each = headPatience
	}
	b, err := t.f.patiently(1, each)
	if err != nil {
		t.err = unexpected(err)
		return 0, t.err
	}
	n := copy(p, b[:min(len(b), t.left)])
	t.f.begin += n
	t.left -= n
	t.read = append(t.read, p[:n]...)
	return n, nil
}

// cause prefers the connection's error to what the protocol made of it.
func (t *tee) cause(err error) error {
	if t.err != nil {
		return t.err
	}
	return fmt.Errorf("%w: %w", theader.ErrMalformed, err)
}

// RemainingBytes is unknown on a stream.
func (t *tee) RemainingBytes() uint64 { return math.MaxUint64 }

// The rest makes tee a thrift.TTransport; a reader uses none of it.
func (t *tee) Write([]byte) (int, error)   { return 0, errors.ErrUnsupported }
func (t *tee) Flush(context.Context) error { return errors.ErrUnsupported }
func (t *tee) Open() error                 { return errors.ErrUnsupported }
func (t *tee) IsOpen() bool                { return true }
func (t *tee) Close() error                { return errors.ErrUnsupported }
