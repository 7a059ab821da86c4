package theader

// The sub-protocols of a payload, by their numbers in the header.
const (
	Binary  byte = 0
	Compact byte = 2
)

// OutOfOrder is the flag of a client that accepts replies in any order.
const OutOfOrder uint16 = 0x01

// Pair is one info header. Key and Value may hold any bytes.
type Pair struct{ Key, Value string }

// Header is a frame without its payload. A Header may be used for frame after frame: Parse keeps
// the memory of Info.
type Header struct {
	Seq      int32
	Flags    uint16
	Protocol byte   // Binary or Compact
	Zipped   bool   // the payload was compressed; only Parse sets it
	Info     []Pair // in the order of the wire
}

// Get returns the value of the first pair with the key, or "".
func (h *Header) Get(key string) string {
	for i := range h.Info {
		if h.Info[i].Key == key {
			return h.Info[i].Value
		}
	}
	return ""
}

// Set appends a pair; it does not look for an earlier one.
func (h *Header) Set(key, value string) { h.Info = append(h.Info, Pair{key, value}) }

// Reset empties the header and drops its strings.
func (h *Header) Reset() {
	clear(h.Info)
	*h = Header{Info: h.Info[:0]}
}
