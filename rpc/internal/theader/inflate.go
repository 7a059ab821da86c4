package theader

import (
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"sync"
	"unsafe"
)

// firstPiece is the first memory for an inflated payload, in bytes.
const firstPiece = 4 << 10

// inflaters are zlib readers of about 40 KiB each.
var inflaters sync.Pool

// Inflate undoes the zlib transform of a payload, up to the size of a frame. Before it takes memory it
// calls take with the number of bytes, which may refuse them. It gives memory back by calling take
// with a negative number. After an error everything is given back, and else all but the result.
func Inflate(zipped string, l Limits, take func(bytes int) error) (string, error) {
	limit := min(l.frame(), max(alwaysInflated, mostInflated*len(zipped)))
	if len(zipped) > 1 && zipped[1]&presetDictionary != 0 {
		return "", malformed("zlib payload with a preset dictionary")
	}
	in := strings.NewReader(zipped)
	z, err := inflater(in)
	if err != nil {
		return "", malformed("zlib payload: %v", err)
	}
	defer putBack(z)
	b, err := grow(nil, min(firstPiece, limit+1), take)
	for err == nil {
		if len(b) == cap(b) {
			if b, err = grow(b, min(2*cap(b), limit+1), take); err != nil {
				break
			}
		}
		var n int
		n, err = z.Read(b[len(b):cap(b)])
		if b = b[:len(b)+n]; len(b) > limit {
			err = tooLarge("inflated payload", int64(len(b)), limit, "bytes or more")
		}
	}
	switch {
	case errors.Is(err, io.EOF) && in.Len() == 0:
		return unsafe.String(unsafe.SliceData(b), len(b)), nil
	case errors.Is(err, io.EOF):
		err = malformed("%d bytes stand behind the zlib payload", in.Len())
	case !errors.Is(err, ErrTooLarge) && !errors.Is(err, errRefused):
		err = malformed("zlib payload: %v", err)
	}
	_ = take(-cap(b))
	return "", err
}

// A payload may grow a hundredfold, and to 2 MiB in any case. Only bytes that hardly vary grow more,
// and a message of these serves only to cost the reader time.
const (
	mostInflated   = 100
	alwaysInflated = 2 << 20
)

// errRefused marks an error of take.
var errRefused = errors.New("inflating the payload")

func grow(b []byte, size int, take func(bytes int) error) ([]byte, error) {
	if err := take(size); err != nil {
		return b, errors.Join(errRefused, err)
	}
	wider := append(make([]byte, 0, size), b...)
	_ = take(-cap(b))
	return wider, nil
}

const presetDictionary = 0x20 // flag in the second byte

// inflater returns a zlib reader from the pool.
func inflater(in io.Reader) (io.Reader, error) {
	z, ok := inflaters.Get().(io.Reader)
	if !ok {
		return zlib.NewReader(in)
	}
	return z, z.(zlib.Resetter).Reset(in, nil)
}

// putBack returns z to the pool without its input.
func putBack(z io.Reader) {
	const nothing = "\x78\x9c"
	if z.(zlib.Resetter).Reset(strings.NewReader(nothing), nil) == nil {
		inflaters.Put(z)
	}
}
