package theader

import "strings"

const transformZlib = 1

var transformNames = map[uint32]string{2: " (HMAC)", 3: " (snappy)"}

// largeFrame: the header block of a larger frame is copied, so that a string of it that is kept does
// not keep the frame.
const largeFrame = 8 << 10

// Parse reads into h a frame without its length word and returns its payload, which must be
// inflated when h.Zipped. The payload, and the strings of h unless the frame is large, are
// substrings of frame. After an error h is undefined.
func Parse(frame string, h *Header, l Limits) (payload string, err error) {
	h.Reset()
	if len(frame) > l.frame() {
		return "", tooLarge("frame", int64(len(frame)), l.frame(), "bytes")
	}
	if len(frame) < fixedSize {
		return "", malformed("%d bytes, a header frame has at least %d", len(frame), fixedSize)
	}
	if m := u16(frame); m != magic {
		return "", malformed("magic is %#04x, not %#04x", m, magic)
	}
	h.Flags = u16(frame[2:])
	h.Seq, _ = Seq(frame)
	size := int(u16(frame[8:])) * 4
	rest := frame[fixedSize:]
	if size > l.header() {
		return "", tooLarge("header block", int64(size), l.header(), "bytes")
	}
	if size > len(rest) {
		return "", malformed("header block of %d bytes in a frame with %d left", size, len(rest))
	}
	c := cursor{rest[:size]}
	if len(frame) > largeFrame {
		c.s = strings.Clone(c.s)
	}
	if h.Zipped, err = c.protocol(h); err != nil {
		return "", err
	}
	return rest[size:], c.infos(h, l)
}

// Seq returns the sequence number of a frame without its length word. A client finds the call of a
// reply by it alone.
func Seq(frame string) (int32, error) {
	if len(frame) < fixedSize || u16(frame) != magic {
		return 0, malformed("%d bytes that are not a header frame", len(frame))
	}
	return int32(uint32(u16(frame[4:]))<<16 | uint32(u16(frame[6:]))), nil
}

func u16(s string) uint16 { return uint16(s[0])<<8 | uint16(s[1]) }

// cursor walks a header block.
type cursor struct{ s string }

func (c *cursor) protocol(h *Header) (zipped bool, err error) {
	id, err := c.varint("protocol id")
	if err != nil {
		return false, err
	}
	if id != uint32(Binary) && id != uint32(Compact) {
		return false, malformed("protocol %d is neither binary (%d) nor compact (%d)", id, Binary, Compact)
	}
	h.Protocol = byte(id)
	n, err := c.varint("number of transforms")
	if err != nil {
		return false, err
	}
	if uint64(n) > uint64(len(c.s)) {
		return false, malformed("%d transforms in a header block with %d bytes left", n, len(c.s))
	}
	for range n {
		t, err := c.varint("transform id")
		switch {
		case err != nil:
			return false, err
		case t == 0:
		case t == transformZlib && !zipped:
			zipped = true
		case t == transformZlib:
			return false, malformed("zlib is applied twice")
		default:
			return false, malformed("transform %d%s is not supported, only zlib is", t, transformNames[t])
		}
	}
	return zipped, nil
}

// infos reads the key/value infos. It stops at the first unknown kind, which includes the padding.
func (c *cursor) infos(h *Header, l Limits) error {
	for len(c.s) > 0 {
		kind, err := c.varint("info kind")
		if err != nil {
			return err
		}
		if kind != infoKeyValue {
			return nil
		}
		n, err := c.varint("number of infos")
		if err != nil {
			return err
		}
		if total := int64(len(h.Info)) + int64(n); total > int64(l.infos()) {
			return tooLarge("header", total, l.infos(), "infos")
		}
		if uint64(n)*2 > uint64(len(c.s)) {
			return malformed("%d infos in a header block with %d bytes left", n, len(c.s))
		}
		for range n {
			var p Pair
			if p.Key, err = c.string("info key"); err != nil {
				return err
			}
			if p.Value, err = c.string("info value"); err != nil {
				return err
			}
			h.Info = append(h.Info, p)
		}
	}
	return nil
}

func (c *cursor) varint(what string) (uint32, error) {
	if len(c.s) > 0 && c.s[0] < 0x80 {
		v := c.s[0]
		c.s = c.s[1:]
		return uint32(v), nil
	}
	return c.long(what)
}

func (c *cursor) long(what string) (uint32, error) {
	var v uint64
	for i := 0; i < len(c.s) && i < 5; i++ {
		b := c.s[i]
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if v > 0xffffffff {
				return 0, malformed("%s is over 32 bits", what)
			}
			c.s = c.s[i+1:]
			return uint32(v), nil
		}
	}
	if len(c.s) >= 5 {
		return 0, malformed("%s is over 32 bits", what)
	}
	return 0, malformed("header block ends within the %s", what)
}

func (c *cursor) string(what string) (string, error) {
	if s := c.s; len(s) > 0 {
		if n := int(s[0]); n < 0x80 && n < len(s) { // most are short
			c.s = s[1+n:]
			return s[1 : 1+n], nil
		}
	}
	return c.longString(what)
}

func (c *cursor) longString(what string) (string, error) {
	n, err := c.varint(what)
	if err != nil {
		return "", err
	}
	if uint64(n) > uint64(len(c.s)) {
		return "", malformed("%s of %d bytes in a header block with %d left", what, n, len(c.s))
	}
	s := c.s[:n]
	c.s = c.s[n:]
	return s, nil
}
