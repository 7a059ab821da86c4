package flat

import "github.com/apache/thrift/lib/go/thrift"

// Protocol is one of the two encodings; the values are those of THeader.
type Protocol byte

// The encodings.
const (
	Binary  Protocol = 0
	Compact Protocol = 2
)

// Writer serialises one message. Its Read methods fail.
type Writer interface {
	thrift.TProtocol
	// Bytes returns the written bytes, valid until the next write or Free.
	Bytes() []byte
	Protocol() Protocol
	// Append writes a whole struct that a Reader of the same protocol returned.
	Append(whole string) error
	// Reset drops the written bytes.
	Reset()
	Free()
}

// Reader reads one message. Its Write methods fail.
type Reader interface {
	thrift.TProtocol
	// Left is the number of unread bytes: an unframed message ends where reading it ended.
	Left() int
	Protocol() Protocol
	// Struct returns the bytes of the next struct, checked and not decoded.
	Struct() (string, error)
	// Used is the memory in bytes that the message has taken so far, besides its own.
	Used() int64
	Free()
}

// NewWriter takes a writer from the pool. Writing more than limit bytes fails with SIZE_LIMIT.
func NewWriter(p Protocol, limit int) Writer {
	if p == Compact {
		w := compactWriters.Get().(*compactWriter)
		w.limit = limit
		return w
	}
	w := binaryWriters.Get().(*binaryWriter)
	w.limit = limit
	return w
}

// NewReader takes a reader of message from the pool. mem counts the memory of decoding.
func NewReader(p Protocol, message string, mem Memory) Reader {
	if p == Compact {
		r := compactReaders.Get().(*compactReader)
		r.s = message
		r.memory.begin(&mem)
		return r
	}
	r := binaryReaders.Get().(*binaryReader)
	r.s = message
	r.memory.begin(&mem)
	return r
}

// maxDepth is the nesting that readers allow, as in the stock library.
const maxDepth = thrift.DEFAULT_RECURSION_DEPTH

// keep is the largest buffer that goes back to the pool.
const keep = 2 << 20
