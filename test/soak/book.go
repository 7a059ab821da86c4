//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// book is the record of the run.
type book struct {
	mu      sync.Mutex
	met     map[string]map[string]string // by trace and service, the version
	done    map[string]int               // answered requests of each caller
	slow    []time.Duration              // all of them
	failed  []failure
	uses    map[string][]use // of each caller
	faults  []suffered
	stood   []standstill // of the whole machine
	counts  map[string]int
	found   []string
	mixed   int
	metOnce int
}

type failure struct {
	trace, text  string
	begun, ended time.Time
}

// use is the resources that a process takes of its machine.
type use struct{ goroutines, heapKiB, files int }

type suffered struct {
	fault
	begun time.Time
}

// standstill is a time in which no process of the machine ran.
type standstill struct{ begun, ended time.Time }

// stills is from when on a pause of the machine explains a failed request. Time-outs of requests are far longer.
const stills = 3 * time.Second

// watch notices when the whole machine stands still, as a virtual one does while it is saved, until stop is closed. A
// request that waited through that has met no fault of skerry.
func (b *book) watch(stop <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) >= stills {
			fmt.Println("the machine stood still for", now.Sub(last).Round(time.Millisecond))
			b.mu.Lock()
			b.stood = append(b.stood, standstill{last, now})
			b.mu.Unlock()
		}
		last = now
	}
}

// still reports whether the machine stood still while a request was under way. b.mu is held.
func (b *book) still(f failure) bool {
	return slices.ContainsFunc(b.stood, func(p standstill) bool {
		return p.begun.Before(f.ended) && f.begun.Before(p.ended)
	})
}

func (b *book) find(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println("FOUND:", text)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found = append(b.found, text)
}

func (b *book) count(what string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[string]int{}
	}
	b.counts[what] += n
}

func (b *book) fault(f fault, began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, suffered{f, began.Add(f.At)})
}

func (b *book) answered(caller string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done[caller]
}

// hear parses a line of a process.
func (b *book) hear(process, kind, rest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	words := strings.Fields(rest)
	switch kind {
	case "met":
		b.meet(words[0], words[1], words[2])
	case "done":
		if b.done == nil {
			b.done = map[string]int{}
		}
		b.done[process]++
		var ms int64
		_, _ = fmt.Sscan(words[1], &ms)
		b.slow = append(b.slow, time.Duration(ms)*time.Millisecond)
		b.settle(words[0])
	case "failed":
		var begun, ended int64
		_, _ = fmt.Sscan(words[1], &begun)
		_, _ = fmt.Sscan(words[2], &ended)
		f := failure{words[0], strings.Join(words[3:], " "), time.UnixMilli(begun), time.UnixMilli(ended)}
		fmt.Println("failed:", f.trace, f.ended.Sub(f.begun), f.text)
		b.failed = append(b.failed, f)
	case "uses":
		if b.uses == nil {
			b.uses = map[string][]use{}
		}
		var u use
		_, _ = fmt.Sscan(rest, &u.goroutines, &u.heapKiB, &u.files)
		if strings.HasPrefix(process, "caller-") || strings.HasPrefix(process, "portal-") {
			b.uses[process] = append(b.uses[process], u)
		}
	}
}

// meet records the version that a request met. b.mu is held.
func (b *book) meet(trace, service, version string) {
	if b.met == nil {
		b.met = map[string]map[string]string{}
	}
	all := b.met[trace]
	if all == nil {
		all = map[string]string{}
		b.met[trace] = all
	}
	if was := all[service]; was != "" && was != version {
		b.mix("%s met %s of %s and of %s", trace, service, was, version)
	}
	all[service] = version
	auth, proc := all["auth"], all["proc"]
	if auth != "" && proc != "" && auth != proc {
		b.mix("%s met auth of %s and proc of %s", trace, auth, proc)
	}
	b.metOnce++
}

func (b *book) mix(format string, args ...any) {
	b.mixed++
	text := fmt.Sprintf(format, args...)
	fmt.Println("FOUND:", text)
	b.found = append(b.found, text)
}

// settle forgets a request some time after its end. Lines of its spans may come later, because each
// process has its own pipe.
func (b *book) settle(trace string) {
	time.AfterFunc(2*time.Minute, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.met, trace)
	})
}

// judge returns the findings of the run, and prints its figures.
func (s *site) judge() []string {
	b := &s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.failed {
		if b.still(f) {
			fmt.Printf("%s failed while the machine stood still\n", f.trace)
			continue
		}
		b.found = append(b.found, fmt.Sprintf("%s failed after %v: %s\n    %s", f.trace, f.ended.Sub(f.begun), f.text,
			b.around(f)))
	}
	for _, process := range sortedKeys(b.uses) {
		b.level(process)
	}
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		for _, cry := range []string{"panic:", "fatal error:", "DATA RACE"} {
			if strings.Contains(string(text), cry) {
				b.found = append(b.found, filepath.Base(path)+" holds "+cry)
			}
		}
	}
	slices.Sort(b.slow)
	fmt.Printf("%d requests answered, %d failed, %d spans, %d mixed; ", len(b.slow), len(b.failed), b.metOnce, b.mixed)
	if n := len(b.slow); n > 0 {
		fmt.Printf("p50 %v, p99 %v, longest %v; ", b.slow[n/2], b.slow[n*99/100], b.slow[n-1])
	}
	for _, what := range sortedKeys(b.counts) {
		fmt.Printf("%d %s, ", b.counts[what], what)
	}
	fmt.Printf("%d faults, %d things found\n", len(b.faults), len(b.found))
	return b.found
}

// around returns the faults at the time of a failed request, or shortly before. b.mu is held.
func (b *book) around(f failure) string {
	var there []string
	for _, s := range b.faults {
		if s.begun.Before(f.ended) && s.begun.Add(s.For+10*time.Second).After(f.begun) {
			there = append(there, strings.TrimSpace(s.fault.String()))
		}
	}
	if len(there) == 0 {
		return "no fault was there"
	}
	return strings.Join(there, "; ")
}

// level compares a process's resources in the last quarter of its life with those in the second
// one. b.mu is held.
func (b *book) level(process string) {
	all := b.uses[process]
	quarter := len(all) / 4
	if quarter < 3 {
		return
	}
	early, late := all[quarter:2*quarter], all[3*quarter:]
	for _, what := range []struct {
		name string
		of   func(use) int
		more int
	}{
		{"goroutines", func(u use) int { return u.goroutines }, 30},
		{"KiB of heap", func(u use) int { return u.heapKiB }, 4 << 10},
		{"descriptors", func(u use) int { return u.files }, 20},
	} {
		before, after := median(early, what.of), median(late, what.of)
		fmt.Printf("%s: %s %d, later %d\n", process, what.name, before, after)
		if after > before*3/2+what.more {
			b.found = append(b.found, fmt.Sprintf("%s used %d %s, and later %d", process, before, what.name, after))
		}
	}
}

func median(all []use, of func(use) int) int {
	values := make([]int, len(all))
	for i, u := range all {
		values[i] = of(u)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
