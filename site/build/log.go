package build

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
)

const (
	maxHead = 8 << 20 // bytes of the beginning of a log that are kept
	maxEnd  = 1 << 20 // bytes of its end
	maxTail = 4 << 10 // bytes of its end in a result
)

// Log is what a result says of the log.
type Log struct {
	Tail   string `json:"tail"`   // the last 4 KiB
	SHA256 string `json:"sha256"` // of the whole log, also of what was not kept
	Bytes  int64  `json:"bytes"`  // of the whole log
	Lost   int64  `json:"lost"`   // bytes that are not in the file, because the log was too long or the disk full
}

// keeper writes a log. It takes everything that it is given: steps never wait for it, nor fail by it.
type keeper struct {
	mu   sync.Mutex
	file io.Writer
	live io.Writer // may be nil
	sum  hash.Hash
	all  int64 // bytes
	kept int64 // bytes in the file
	end  []byte
}

func newKeeper(file, live io.Writer) *keeper {
	return &keeper{file: file, live: live, sum: sha256.New()}
}

func (k *keeper) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum.Write(p)
	if k.live != nil {
		_, _ = k.live.Write(p) // a reader that has gone stops no build
	}
	rest := p
	if k.all < maxHead {
		n := int(min(int64(len(p)), maxHead-k.all))
		k.put(p[:n])
		rest = p[n:]
	}
	k.all += int64(len(p))
	k.end = append(k.end, rest...)
	if len(k.end) > 2*maxEnd {
		k.end = slices.Clone(k.end[len(k.end)-maxEnd:])
	}
	return len(p), nil
}

func (k *keeper) put(p []byte) {
	n, _ := k.file.Write(p) // what finds no room is counted
	k.kept += int64(n)
}

func (k *keeper) printf(format string, args ...any) { fmt.Fprintf(k, format, args...) }

// finish writes the end of a long log, and says what the result has to say.
func (k *keeper) finish(read func(most int64) []byte) Log {
	k.mu.Lock()
	defer k.mu.Unlock()
	end := k.end[max(0, len(k.end)-maxEnd):]
	if cut := k.all - maxHead - int64(len(end)); cut > 0 {
		fmt.Fprintf(k.file, "\n… %d bytes are left out here …\n", cut)
	}
	k.put(end)
	tail := end
	if len(tail) < maxTail && read != nil {
		tail = read(maxTail)
	}
	tail = tail[max(0, len(tail)-maxTail):]
	return Log{strings.ToValidUTF8(string(tail), "�"), fmt.Sprintf("%x", k.sum.Sum(nil)), k.all, k.all - k.kept}
}
