package rpc

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/skerry/skerry/rpc/internal/theader"
)

// appendHead appends to dst the head of a message of size bytes.
func appendHead(dst []byte, d dialect, h *theader.Header, seq int32, size int, l theader.Limits) ([]byte, error) {
	switch {
	case d.unframed:
		return dst, nil
	case !d.header:
		dst = append(dst, 0, 0, 0, 0)
	default:
		var err error
		h.Seq = seq
		if dst, err = theader.Append(dst, h, l); err != nil {
			return dst, fmt.Errorf("write header: %w", err)
		}
	}
	return dst, setLength(dst, size, l)
}

// finishHead sets the sequence number and the length in a head, for a message of size bytes.
func finishHead(head []byte, seq int32, size int, l theader.Limits) error {
	theader.SetSeq(head, seq)
	return setLength(head, size, l)
}

// setLength sets the length of a frame; an unframed message has none.
func setLength(head []byte, size int, l theader.Limits) error {
	if len(head) == 0 {
		return nil
	}
	frame := len(head) - 4 + size
	if err := l.CheckFrame(uint32(min(int64(frame), math.MaxUint32))); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	binary.BigEndian.PutUint32(head, uint32(frame))
	return nil
}

// putSeq sets the sequence number within a binary message.
func putSeq(at []byte, seq int32) { binary.BigEndian.PutUint32(at, uint32(seq)) }

// seqOffset is the offset of the sequence number in a strict binary message.
func seqOffset(method string) int { return 8 + len(method) }
