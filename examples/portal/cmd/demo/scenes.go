package main

import (
	"fmt"
	"os"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

// scene is one step of the demo: an action, a while of load, and promises about the effect on
// callers.
type scene struct {
	title    string
	act      func(*site.Site) error // the action; nil: none
	lasts    time.Duration
	breaks   bool // on purpose: skerry promises nothing here
	promises []promise
}

// act is a part of the demo, at a site of its own.
type act struct {
	opening []string
	cast    []role // processes that run at its start
	scenes  []scene
}

// role is a process of the version v1.
type role struct{ name, service string }

var acts = []act{
	{
		opening: []string{
			"Five processes of four services start on this machine.",
			"There is no database and no registry: they find each other by broadcast.",
		},
		cast: []role{{"db-1", "db"}, {"auth-1", "auth"}, {"auth-2", "auth"}, {"proc-1", "proc"},
			{"portal-1", "portal"}},
		scenes: comingAndGoing,
	},
	{
		opening: []string{
			"Auth v2 and Proc v2 are to replace v1, as people do it everywhere: start the new, then stop the old.",
			"Each version of Auth takes only its own tokens, and every request asks it twice.",
		},
		cast:   []role{{"db-1", "db"}, {"auth-1", "auth"}, {"proc-1", "proc"}, {"portal-1", "portal"}},
		scenes: rollingRestart,
	},
	{
		opening: []string{
			"The same once more, as a release: by skerry release, of Auth and Proc together.",
		},
		cast:   []role{{"db-1", "db"}, {"auth-1", "auth"}, {"proc-1", "proc"}, {"portal-1", "portal"}},
		scenes: releases,
	},
}

var comingAndGoing = []scene{
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
		act:      start("auth-3", "auth", "v1"),
		lasts:    5 * time.Second,
		promises: []promise{used("auth-3", time.Second), noCallFails()},
	},
	{
		title:    "auth-2 is asked to stop (SIGTERM)",
		act:      stop("auth-2"),
		lasts:    6 * time.Second,
		promises: []promise{left("auth-2", 300*time.Millisecond), ended("auth-2"), noCallFails()},
	},
	{
		title: "auth-3, the only one that is left, is restarted: asked to stop, and auth-4 is started when it has " +
			"ended",
		act:      restart("auth-3", "auth-4", "auth", "v1"),
		lasts:    3 * time.Second,
		promises: []promise{ended("auth-3"), noCallFails()},
	},
}

var rollingRestart = []scene{
	{
		title:    "auth-2 and proc-2 of v2 are started beside v1, with no release",
		act:      all(start("auth-2", "auth", "v2"), start("proc-2", "proc", "v2")),
		lasts:    4 * time.Second,
		breaks:   true,
		promises: []promise{requestsBreak()},
	},
	{
		title:    "auth-1 and proc-1 of v1 are asked to stop",
		act:      all(stop("auth-1"), stop("proc-1")),
		lasts:    4 * time.Second,
		breaks:   true,
		promises: []promise{used("auth-2", time.Second), nothingIsMixed(time.Second)},
	},
}

var releases = []scene{
	{
		title: "start; auth-2 and proc-2 of v2 are started; ship: only a verifier meets them",
		act: all(release("start", "--by", "demo", "--reason", "new token format"),
			start("auth-2", "auth", "v2"), start("proc-2", "proc", "v2"), ship("v2"), preview("v2")),
		lasts:    2 * time.Second,
		promises: []promise{noRequestIsMixed(), onlyMeets("v1", 0)},
	},
	{
		title:    "commit",
		act:      release("commit"),
		lasts:    4 * time.Second,
		promises: []promise{noRequestIsMixed(), onlyMeets("v2", 3*time.Second)},
	},
	{
		title:    "clean: v1 leaves when no request needs it any more",
		act:      release("clean"),
		lasts:    2 * time.Second,
		promises: []promise{noRequestIsMixed(), onlyMeets("v2", 0)},
	},
	{
		title: "another one, to v3: start, ship, and commit",
		act: all(release("start", "--by", "demo", "--reason", "faster tokens"),
			start("auth-3", "auth", "v3"), start("proc-3", "proc", "v3"), ship("v3"), release("commit")),
		lasts:    2 * time.Second,
		promises: []promise{noRequestIsMixed()},
	},
	{
		title:    "v3 is not liked: rollback, and clean",
		act:      all(release("rollback"), release("clean")),
		lasts:    9 * time.Second, // calls from 6 s on are judged, however soon the commands have ended
		promises: []promise{noRequestIsMixed(), onlyMeets("v2", 6*time.Second)},
	},
}

// ship waits for one instance each of Auth and Proc, as a manifest says.
func ship(version string) func(*site.Site) error {
	return func(s *site.Site) error {
		text := fmt.Sprintf("modules:\n  auth: {version: %s, wish: 1}\n  proc: {version: %s, wish: 1}\n", version,
			version)
		path := s.LogPath("release") + ".yaml"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		return release("ship", "all", "--file", path)(s)
	}
}

func kill(name string) func(*site.Site) error {
	return func(s *site.Site) error { return s.Find(name).Kill() }
}

func start(name, service, version string) func(*site.Site) error {
	return func(s *site.Site) error {
		_, err := s.Serve(name, service, version)
		return err
	}
}

// all does one thing after the other.
func all(acts ...func(*site.Site) error) func(*site.Site) error {
	return func(s *site.Site) error {
		for _, do := range acts {
			if err := do(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// restart acts as a service manager: it starts the next process when the one before it has ended.
func restart(old, next, service, version string) func(*site.Site) error {
	return func(s *site.Site) error {
		if err := stop(old)(s); err != nil {
			return err
		}
		select {
		case <-s.Find(old).Done():
		case <-time.After(restartLimit):
			return fmt.Errorf("%s has not ended %v after it was asked to", old, restartLimit)
		}
		return start(next, service, version)(s)
	}
}

// restartLimit is how long a process may take to leave.
const restartLimit = 30 * time.Second

func stop(name string) func(*site.Site) error {
	return func(s *site.Site) error { return s.Find(name).Stop() }
}
