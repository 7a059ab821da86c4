package rpc

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/skerry/skerry/rpc/internal/theader"
)

// appendHead writes what stands in front of a message of size bytes.
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

// finishHead completes a head that was written without them: sequence number
// and length, for a message of size bytes.
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

// seqOffset is where a strict binary message has its sequence number.
func seqOffset(method string) int { return 8 + len(method) }
