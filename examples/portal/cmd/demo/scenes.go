package main

import (
	"time"

	"github.com/skerry/skerry/examples/portal/internal/site"
)

// scene is one step of the play: something happens, the load goes on for a
// while, and what the callers noticed is held against what is promised.
type scene struct {
	title    string
	act      func(*site.Site) error // what happens; nil: nothing
	lasts    time.Duration
	promises []promise
}

// cast are the processes that run when the curtain rises.
var cast = []struct{ name, service string }{
	{"db-1", "db"}, {"auth-1", "auth"}, {"auth-2", "auth"}, {"proc-1", "proc"}, {"portal-1", "portal"},
}

var scenes = []scene{
	{
		title:    "nothing happens: every request takes five calls, portal → auth, portal → proc → auth and db",
		lasts:    4 * time.Second,
		promises: []promise{noCallFails()},
	},
	{
		title:    "auth-1 is killed (kill -9), as if its power had failed",
		act:      kill("auth-1"),
		lasts:    5 * time.Second,
		promises: []promise{avoided("auth-1", time.Second), onlySentCallsFail("auth-1")},
	},
	{
		title:    "auth-3 is started",
		act:      start("auth-3", "auth"),
		lasts:    5 * time.Second,
		promises: []promise{used("auth-3", time.Second), noCallFails()},
	},
	{
		title:    "auth-2 is asked to stop (SIGTERM)",
		act:      stop("auth-2"),
		lasts:    6 * time.Second,
		promises: []promise{left("auth-2", 300*time.Millisecond), ended("auth-2"), noCallFails()},
	},
}

func kill(name string) func(*site.Site) error {
	return func(s *site.Site) error { return s.Find(name).Kill() }
}

func start(name, service string) func(*site.Site) error {
	return func(s *site.Site) error {
		_, err := s.Serve(name, service, "v1")
		return err
	}
}

func stop(name string) func(*site.Site) error {
	return func(s *site.Site) error { return s.Find(name).Stop() }
}
