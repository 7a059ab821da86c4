package rpc

import (
	"cmp"

	"github.com/skerry/skerry/rpc/internal/theader"
)

// Sizes bound the memory that one peer can make this process hold. A field of 0 has its default.
type Sizes struct {
	Frame  int // bytes of a message with its header; 16 MiB
	Header int // bytes of a header block; 16 KiB
	Queue  int // bytes that wait on one connection to be written; 64 MiB

	// Requests and Replies bound all connections together. At most twice as many bytes are ever held.
	// Requests counts messages of more than 64 KiB while they are received or run. It also counts the
	// memory of decoding: of requests in a server, of replies in a client. The default is 512 MiB, or
	// four frames if that is more.
	Requests int
	Replies  int // of a server, bytes that wait to be written, beyond 64 KiB on each connection; 256 MiB
}

func (l Sizes) withDefaults() Sizes {
	l.Frame = cmp.Or(l.Frame, theader.DefaultFrame)
	return Sizes{
		Frame:    l.Frame,
		Header:   cmp.Or(l.Header, theader.DefaultHeader),
		Queue:    cmp.Or(l.Queue, 64<<20),
		Requests: cmp.Or(l.Requests, max(512<<20, 4*l.Frame)),
		Replies:  cmp.Or(l.Replies, 256<<20),
	}
}

func (l Sizes) frames() theader.Limits { return theader.Limits{Frame: l.Frame, Header: l.Header} }
