package resident

import (
	"bufio"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Trim gives back free memory, and the pages of files that are mapped only to be read. It costs some milliseconds, and
// some microseconds for each page that is read again.
func Trim() {
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	for _, m := range untouched(maps) {
		// An error leaves the pages where they are.
		unix.RawSyscall(unix.SYS_MADVISE, m.start, m.size, unix.MADV_DONTNEED)
	}
}

// mapping is a part of the address space.
type mapping struct{ start, size uintptr }

// untouched reads smaps. It returns the private mappings of files that can't be written and never were: what a loader
// has relocated before it took the right to write away would be lost.
func untouched(smaps io.Reader) (all []mapping) {
	var now mapping
	is := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) >= 6 && strings.Contains(f[0], "-"):
			now, is = parseRange(f[0])
			is = is && f[5][0] == '/' && (f[1] == "r-xp" || f[1] == "r--p")
		case is && len(f) == 3 && f[0] == "Anonymous:":
			if f[1] == "0" {
				all = append(all, now)
			}
			is = false
		}
	}
	return all
}

func parseRange(text string) (m mapping, ok bool) {
	from, to, _ := strings.Cut(text, "-")
	first, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	last, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	return mapping{uintptr(first), uintptr(last - first)}, err1 == nil && err2 == nil && first < last
}
