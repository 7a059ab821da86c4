package resident

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// fileKiB is how much of files is resident in this process.
func fileKiB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTrim: every page of the program's files is read, and given back; the program goes on.
func TestTrim(t *testing.T) {
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	touched := 0
	for _, m := range untouched(maps) {
		n, _ := mem.ReadAt(make([]byte, m.size), int64(m.start)) // behind the end of a file there is nothing to read
		touched += n
	}
	before := fileKiB(t)
	Trim()
	after := fileKiB(t)
	if touched == 0 || before < touched>>10/2 || after > before-touched>>10/4 { // some are needed again at once
		t.Errorf("%d KiB were read; %d KiB of files were resident, and %d KiB after", touched>>10, before, after)
	}
}

// TestUntouched: a mapping that is or was written is never given back, because its content would be lost.
func TestUntouched(t *testing.T) {
	text := ""
	for i, head := range []string{
		"r-xp 00000000 fe:00 12   /usr/bin/skerry 0", // the only two
		"r--p 00a2d000 fe:00 12   /usr/bin/skerry 0",
		"r--p 01794000 fe:00 12   /usr/bin/skerry 16", // relocated by the loader
		"rw-p 01794000 fe:00 12   /usr/bin/skerry 0",
		"r--s 00000000 fe:00 12   /usr/bin/skerry 0",
		"r-xp 00000000 00:00 0   [vdso] 0",
		"r--p 00000000 00:00 0 0",
	} {
		at := strings.LastIndexByte(head, ' ')
		text += fmt.Sprintf("%d000-%d000 %s\nRss:    4 kB\nAnonymous:    %s kB\nVmFlags: rd ex\n", i+1, i+2, head[:at],
			head[at+1:])
	}
	text += "zz-1 r--p 0 0 0 /x\nAnonymous: 0 kB\n9000-1000 r--p 0 0 0 /x\nAnonymous: 0 kB\n"
	if got := fmt.Sprint(untouched(strings.NewReader(text))); got != "[{4096 4096} {8192 4096}]" {
		t.Errorf("%s", got)
	}
}
