package rpc

import (
	"errors"
	"fmt"

	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// dialect is how a connection's peer frames and encodes messages.
type dialect struct {
	shared   bool // skerry: many calls at once, control frames
	header   bool // THeader frames
	unframed bool
	encoding flat.Protocol
}

var dialects = map[string]dialect{
	"":                 {shared: true, header: true},
	"skerry":           {shared: true, header: true},
	"header":           {header: true},
	"framed-binary":    {},
	"framed-compact":   {encoding: flat.Compact},
	"unframed-binary":  {unframed: true},
	"unframed-compact": {unframed: true, encoding: flat.Compact},
}

// protocolHTTP is the spelling of registry.ProtocolHTTP.
const protocolHTTP = "http"

// dialectOf reads the spelling of registry.Protocol.
func dialectOf(protocol string) (dialect, error) {
	if protocol == protocolHTTP {
		return dialect{}, errors.New("it speaks HTTP and can't be called; requests reach it through the gateway")
	}
	d, ok := dialects[protocol]
	if !ok {
		return d, fmt.Errorf(
			"protocol %q is none of skerry, header, framed-binary, framed-compact, unframed-binary, unframed-compact",
			protocol,
		)
	}
	return d, nil
}

// dialectOfKind returns the dialect of a connection, by the kind of its first message.
func dialectOfKind(k theader.Kind) dialect {
	switch k {
	case theader.Headers:
		return dialect{header: true}
	case theader.FramedCompact:
		return dialect{encoding: flat.Compact}
	case theader.UnframedBinary:
		return dialect{unframed: true}
	case theader.UnframedCompact:
		return dialect{unframed: true, encoding: flat.Compact}
	}
	return dialect{}
}

// read returns the next message or header frame.
func (d dialect) read(f *transport.Reader) (string, error) {
	if d.unframed {
		return f.Message(d.encoding == flat.Compact)
	}
	return f.Frame()
}
