package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/statedir"
)

// process is the file of a slot with the mark of the process that last had it.
const process Kind = ".process"

// mark is what tells a process from others of its program and first service, one line for each of
// its features. A feature stays the same when the process is started again. Only hashes are kept: a
// command line may have a password in it.
type mark []string

// markOf returns the mark of this process, which offers services ("NAME VERSION").
func markOf(services []string) mark {
	dir, _ := os.Getwd() // an empty feature is one, too
	exe, _ := os.Executable()
	services = slices.Sorted(slices.Values(services))
	return mark{
		feature("unit", unit()),
		feature("directory", dir),
		feature("program", exe),
		feature("arguments", os.Args[1:]...),
		feature("services", services...),
	}
}

func feature(name string, values ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(values, "\x00")))
	return name + " " + hex.EncodeToString(sum[:8])
}

// unit is the systemd unit that runs this process, "" without one.
func unit() string {
	if runtime.GOOS != "linux" {
		return ""
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return unitOf(string(text))
}

func unitOf(cgroups string) string {
	for line := range strings.Lines(cgroups) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), ":/")
		if name := filepath.Base(path); strings.HasSuffix(name, ".service") {
			return name
		}
	}
	return ""
}

func (m mark) text() []byte { return []byte(strings.Join(m, "\n") + "\n") }

// likeness counts the features that a kept mark has in common with this one.
func (m mark) likeness(kept []byte) (n int) {
	for line := range bytes.Lines(kept) {
		if slices.Contains(m, string(bytes.TrimSpace(line))) {
			n++
		}
	}
	return n
}

// likeliest returns the slots of a name in the order in which this process tries them: used ones
// first, and of these the one whose last process was most like this one.
func (m mark) likeliest(dir, name string) []slot {
	const unused = -1
	slots := make([]slot, maxSlots)
	like := make(map[string]int, maxSlots)
	for i := range slots {
		s := slot{base: filepath.Join(dir, slotName(name, i))}
		slots[i], like[s.base] = s, unused
		if _, err := os.Lstat(s.base + ".lock"); err != nil {
			continue
		}
		text, _ := statedir.ReadFile(s.path(process)) // a slot without a mark is like none
		like[s.base] = m.likeness(text)
	}
	slices.SortStableFunc(slots, func(a, b slot) int { return like[b.base] - like[a.base] })
	return slots
}

// leave keeps the mark in the slot for the next start.
func (m mark) leave(s slot) {
	if text, err := statedir.ReadFile(s.path(process)); err == nil && bytes.Equal(text, m.text()) {
		return
	}
	_ = statedir.WriteFile(s.path(process), m.text()) // without it the process is like none
}
