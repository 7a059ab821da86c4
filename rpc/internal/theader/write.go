package theader

import "encoding/binary"

const (
	magic        = 0x0fff
	lengthSize   = 4  // the length word
	fixedSize    = 10 // magic, flags, sequence number, header size
	infoKeyValue = 1
)

// Append appends the length word and the header to dst. The caller serialises the payload after it
// and then calls [Finish]. With an error, which wraps ErrTooLarge, dst is returned unchanged.
func Append(dst []byte, h *Header, l Limits) ([]byte, error) {
	block := blockSize(h)
	if len(h.Info) > l.infos() {
		return dst, tooLarge("header", int64(len(h.Info)), l.infos(), "infos")
	}
	if block > l.header() {
		return dst, tooLarge("header block", int64(block), l.header(), "bytes")
	}
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, magic)
	dst = binary.BigEndian.AppendUint16(dst, h.Flags)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Seq))
	dst = binary.BigEndian.AppendUint16(dst, uint16(block/4))
	end := len(dst) + block
	dst = append(dst, h.Protocol, 0) // no transforms
	if len(h.Info) > 0 {
		dst = append(dst, infoKeyValue)
		dst = binary.AppendUvarint(dst, uint64(len(h.Info)))
		for i := range h.Info {
			dst = appendString(dst, h.Info[i].Key)
			dst = appendString(dst, h.Info[i].Value)
		}
	}
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst, nil
}

// Finish sets the length word of a frame that begins at frame[0], after the payload was appended.
func Finish(frame []byte, l Limits) error {
	size := len(frame) - lengthSize
	if size > l.frame() {
		return tooLarge("frame", int64(size), l.frame(), "bytes")
	}
	binary.BigEndian.PutUint32(frame, uint32(size))
	return nil
}

// blockSize is the length of the header block, padded to words.
func blockSize(h *Header) int {
	n := 2
	if len(h.Info) > 0 {
		n += 1 + varintSize(len(h.Info))
		for i := range h.Info {
			k, v := len(h.Info[i].Key), len(h.Info[i].Value)
			n += varintSize(k) + k + varintSize(v) + v
		}
	}
	return (n + 3) &^ 3
}

func varintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func appendString(dst []byte, s string) []byte {
	if len(s) < 0x80 {
		return append(append(dst, byte(len(s))), s...)
	}
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Start appends the beginning of a frame to dst. Then AppendPair adds pairs, and Close completes the
// header. The three replace Append for callers that make no Header.
func Start(dst []byte, flags uint16, protocol byte) []byte {
	return append(dst, 0, 0, 0, 0, magic>>8, magic&0xff, byte(flags>>8), byte(flags),
		0, 0, 0, 0, 0, 0, protocol, 0, infoKeyValue, 0)
}

const (
	seqAt   = 8 // within a frame with its length word
	sizeAt  = 12
	blockAt = lengthSize + fixedSize
	countAt = blockAt + 3
)

// AppendPair writes one pair.
func AppendPair(dst []byte, key, value string) []byte {
	return appendString(appendString(dst, key), value)
}

// Close completes the header of a frame that begins at frame[0]. infos is the number of its pairs.
func Close(frame []byte, infos int, l Limits) ([]byte, error) {
	if most := min(l.infos(), 0x7f); infos > most {
		return frame, tooLarge("header", int64(infos), most, "infos")
	}
	for (len(frame)-blockAt)%4 != 0 {
		frame = append(frame, 0)
	}
	block := len(frame) - blockAt
	if block > l.header() {
		return frame, tooLarge("header block", int64(block), l.header(), "bytes")
	}
	frame[countAt] = byte(infos)
	binary.BigEndian.PutUint16(frame[sizeAt:], uint16(block/4))
	return frame, nil
}

// SetSeq sets the sequence number of a frame that begins at frame[0].
func SetSeq(frame []byte, seq int32) { binary.BigEndian.PutUint32(frame[seqAt:], uint32(seq)) }
