package shim

import (
	"bytes"
	"fmt"
)

// maxLine is the longest line in a log, in bytes.
const maxLine = 64 << 10

// cutter makes lines of what a program writes.
type cutter struct {
	line []byte // the beginning of a line
	over int    // bytes that were left out of it
}

// feed takes the next bytes. emit gets whole lines with their ends; they are valid during the call.
func (c *cutter) feed(chunk []byte, emit func(line []byte)) {
	for len(chunk) > 0 {
		part, ends := chunk, false
		if i := bytes.IndexByte(chunk, '\n'); i >= 0 {
			part, ends = chunk[:i], true
			chunk = chunk[i+1:]
		} else {
			chunk = nil
		}
		fits := min(len(part), maxLine-len(c.line))
		c.line = append(c.line, part[:fits]...)
		c.over += len(part) - fits
		if ends {
			c.end(emit)
		}
	}
}

// flush ends a line that has begun.
func (c *cutter) flush(emit func(line []byte)) {
	if len(c.line) > 0 || c.over > 0 {
		c.end(emit)
	}
}

func (c *cutter) end(emit func(line []byte)) {
	if c.over > 0 {
		c.line = fmt.Appendf(c.line, " [skerry: %d bytes more]", c.over)
	}
	emit(append(c.line, '\n'))
	c.over = 0
	if cap(c.line) > 4<<10 {
		c.line = nil // long lines are rare, and the shim is small
	}
	c.line = c.line[:0]
}
