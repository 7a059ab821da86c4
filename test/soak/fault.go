//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// fault is a fault with its repair some time later.
type fault struct {
	At      time.Duration // since the begin
	For     time.Duration
	Kind    string
	Host    int    // of providers; -1: of the database
	Service string // of the process there; "": the host
}

func (f fault) String() string {
	where := "the database"
	if f.Host >= 0 {
		where = fmt.Sprint("host", f.Host)
	}
	if f.Service != "" {
		where = f.Service + " on " + where
	}
	return fmt.Sprintf("%6.1f s  %s: %s for %.1f s", f.At.Seconds(), where, f.Kind, f.For.Seconds())
}

// mends is how a kind of fault begins and ends.
type mends struct {
	begin, end func(*site, fault)
	most       time.Duration
}

var processFaults = map[string]mends{
	"kill -9":  {func(s *site, f fault) { s.at(f).kill() }, (*site).again, 5 * time.Second},
	"leaves":   {func(s *site, f fault) { s.at(f).leave() }, (*site).again, 5 * time.Second},
	"frozen":   {(*site).freeze, (*site).thaw, 12 * time.Second},
	"hiccough": {(*site).freeze, (*site).thaw, 500 * time.Millisecond},
}

// freeze stops a process; thaw continues the same one, whichever version is in use by then.
func (s *site) freeze(f fault) {
	p := s.at(f)
	s.mu.Lock()
	s.frozen[f] = p
	s.mu.Unlock()
	p.signal(syscall.SIGSTOP)
}

func (s *site) thaw(f fault) {
	s.mu.Lock()
	p := s.frozen[f]
	delete(s.frozen, f)
	s.mu.Unlock()
	p.signal(syscall.SIGCONT)
}

var hostFaults = map[string]mends{
	"cable pulled":    ofHost((*lab.Host).Cut, (*lab.Host).Heal, 15*time.Second),
	"10 % of packets": ofHost(func(h *lab.Host) { h.Loss(10) }, func(h *lab.Host) { h.Loss(0) }, 20*time.Second),
	"broadcasts blocked": ofHost(func(h *lab.Host) { h.BlockBroadcast(true) },
		func(h *lab.Host) { h.BlockBroadcast(false) }, 20*time.Second),
	"a line of 80 ms": ofHost(func(h *lab.Host) {
		h.Line(lab.Line{Delay: 80 * time.Millisecond, Jitter: 20 * time.Millisecond})
	},
		func(h *lab.Host) { h.Line(lab.Line{}) }, 20*time.Second),
	"its disk hangs":   ofDisk((*lab.Disk).Freeze, (*lab.Disk).Thaw, 15*time.Second),
	"its disk is full": ofDisk((*lab.Disk).Fill, (*lab.Disk).Empty, 20*time.Second),
}

func ofDisk(begin, end func(*lab.Disk), most time.Duration) mends {
	return mends{func(s *site, f fault) { begin(s.disks[f.Host]) }, func(s *site, f fault) { end(s.disks[f.Host]) },
		most}
}

func ofHost(begin, end func(*lab.Host), most time.Duration) mends {
	return mends{func(s *site, f fault) { begin(s.host(f)) }, func(s *site, f fault) { end(s.host(f)) }, most}
}

// host returns the host of a fault, including the database's.
func (s *site) host(f fault) *lab.Host {
	if f.Host < 0 {
		return s.lan.Host(baseHost)
	}
	return s.lan.Host(f.Host)
}

var databaseFaults = map[string]mends{
	"stopped":     ofDatabase((*pgtest.Server).Stop, (*pgtest.Server).Start),
	"killed":      ofDatabase((*pgtest.Server).Kill, (*pgtest.Server).Start),
	"frozen":      ofDatabase((*pgtest.Server).Freeze, (*pgtest.Server).Thaw),
	"unreachable": ofHost((*lab.Host).Cut, (*lab.Host).Heal, 20*time.Second),
}

func ofDatabase(away, back func(*pgtest.Server) error) mends {
	return mends{func(s *site, _ fault) { s.t.must(away(s.db)) }, func(s *site, _ fault) { s.t.must(back(s.db)) },
		25 * time.Second}
}

func (f fault) mends() mends {
	switch {
	case f.Host < 0:
		return databaseFaults[f.Kind]
	case f.Service != "":
		return processFaults[f.Kind]
	}
	return hostFaults[f.Kind]
}

// Between two faults of providers, and of the database.
const (
	quiet   = 4 * time.Second
	dbQuiet = 30 * time.Second
)

// schedule draws faults for a length of time. Those of providers follow each other, and those of
// the database run beside them.
func schedule(r *rand.Rand, length time.Duration) (plan []fault) {
	draw := func(kinds map[string]mends) (string, time.Duration) {
		names := sortedKeys(kinds)
		kind := names[r.IntN(len(names))]
		most := kinds[kind].most
		return kind, (most/20 + time.Duration(r.Float64()*float64(most))).Round(100 * time.Millisecond)
	}
	for at := quiet; at < length; {
		f := fault{At: at, Host: r.IntN(providers)}
		if r.IntN(3) > 0 {
			f.Service = services[r.IntN(len(services))]
			f.Kind, f.For = draw(processFaults)
		} else {
			f.Kind, f.For = draw(hostFaults)
		}
		plan = append(plan, f)
		at += f.For + quiet + time.Duration(r.IntN(4000))*time.Millisecond
	}
	for at := dbQuiet; at < length; {
		f := fault{At: at, Host: -1}
		f.Kind, f.For = draw(databaseFaults)
		plan = append(plan, f)
		at += f.For + dbQuiet + time.Duration(r.IntN(30))*time.Second
	}
	slices.SortStableFunc(plan, func(a, b fault) int { return int(a.At - b.At) })
	return plan
}

func sortedKeys[V any](m map[string]V) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
