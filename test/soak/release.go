//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// releases makes one release of auth and proc after the other until it is stopped. Most are
// committed, some by a growing share, and some are rolled back.
func (s *site) releases(stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(s.seed, 2))
	for v := 2; ; v++ {
		select {
		case <-stop:
			return
		default:
		}
		old, next := s.versionOf("auth"), v
		version := fmt.Sprint("v", next)
		s.release("start", "--by", "soak", "--reason", "release "+version)
		for _, service := range released {
			for host := range providers {
				s.start(host, part{Service: service, Version: version, Calls: calls[service]})
			}
		}
		for _, service := range released {
			s.release("ship", service, "--version", version)
		}
		back := r.IntN(4) == 0
		switch {
		case back:
			s.release("rollback")
		case r.IntN(2) == 0:
			s.release("commit", "--ramp", "20,60,100", "--every", "3s")
		default:
			s.release("commit")
		}
		goes := old
		if back {
			goes = next
		}
		s.mu.Lock()
		if !back {
			s.version["auth"], s.version["proc"] = next, next
		}
		s.mu.Unlock()
		s.retire(goes)
		s.release("clean")
		s.book.count("releases", 1)
	}
}

func (s *site) versionOf(service string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version[service]
}

// retire expects the end of all processes of a version after clean.
func (s *site) retire(version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range released {
		for host := range providers {
			name := place(host, service, fmt.Sprint("v", version))
			s.retired[name] = true
			if p := s.up[name]; p != nil {
				p.expected = true
				delete(s.up, name)
			}
		}
	}
}

// release does one step, repeatedly while faults prevent it.
func (s *site) release(args ...string) {
	for begun := time.Now(); ; time.Sleep(2 * time.Second) {
		c := s.on(baseHost, append([]string{s.tool, "--config", s.configure(part{Name: "operator"}, baseHost),
			"release", "--yes"}, args...)...)
		said, err := c.CombinedOutput()
		if err == nil {
			s.book.count("steps", 1)
			return
		}
		text := strings.TrimSpace(string(said))
		last := text[strings.LastIndexByte(text, '\n')+1:]
		if done(args[0], last) {
			return
		}
		fmt.Printf("%6.1f s  skerry release %s: %v: %s\n", time.Since(s.began).Seconds(), strings.Join(args, " "),
			err, last)
		s.book.count("steps repeated", 1)
		if time.Since(begun) > patience {
			s.t.Fatalf("skerry release %s fails for %v:\n%s", strings.Join(args, " "), patience, text)
		}
	}
}

// done reports whether a refusal says that the step before, which seemed to fail, was done.
func done(step, said string) bool {
	switch step {
	case "start":
		return strings.Contains(said, "is open")
	case "commit", "rollback":
		return slices.ContainsFunc([]string{"no release is open", "committed already", "was rolled back"},
			func(text string) bool { return strings.Contains(said, text) })
	}
	return false
}
