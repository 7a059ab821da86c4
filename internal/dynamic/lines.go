package dynamic

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Lines reads JSON values of a line each. It holds one line at a time.
type Lines struct {
	in     *bufio.Reader
	most   int
	number int
	text   []byte
}

// NewLines reads lines of at most that many bytes.
func NewLines(in io.Reader, most int) *Lines { return &Lines{in: bufio.NewReader(in), most: most} }

// ErrLine is wrapped by the error of a line that is too long.
var ErrLine = errors.New("the line is too long")

// Next returns the next line that is not blank, until the following Next. Its error is io.EOF after the last one.
func (l *Lines) Next() ([]byte, error) {
	for {
		l.number++
		l.text = l.text[:0]
		err := l.fill()
		if err != nil && err != io.EOF {
			return nil, err
		}
		text := bytes.TrimSpace(l.text)
		if l.number == 1 {
			text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
		}
		if len(text) > 0 || err != nil {
			if len(text) > 0 {
				return text, nil // the end comes again
			}
			return nil, err
		}
	}
}

// fill reads one line.
func (l *Lines) fill() error {
	for {
		piece, err := l.in.ReadSlice('\n')
		if len(l.text)+len(piece) > l.most {
			return fmt.Errorf("%w: it has more than %d bytes", ErrLine, l.most)
		}
		l.text = append(l.text, piece...)
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// Number is the number of the latest line, from 1 on.
func (l *Lines) Number() int { return l.number }
