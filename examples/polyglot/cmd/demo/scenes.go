package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/polyglot/internal/hosts"
)

// scene is one step of the demo: an action, a while of load after it, and promises about the requests.
type scene struct {
	title    string
	act      func(*stage, *observation) error
	lasts    time.Duration
	breaks   bool // on purpose: skerry promises nothing here
	promises []promise
}

// act is a part of the demo, at a site of its own with two hosts.
type act struct {
	opening       []string
	withoutHelper bool
	scenes        []scene
}

var acts = []act{
	{
		opening: []string{
			"Two hosts: on each a skerry proxy, with Portal in Node.js, Auth in Java, Proc in Python and DB in C++.",
			"A program calls others by name: skerry.connect(\"auth\"). No database, no addresses.",
		},
		scenes: []scene{
			{
				title: "nothing happens: every request takes six calls, portal → auth → db, and portal → proc → auth " +
					"and db → auth",
				lasts:    3 * time.Second,
				promises: []promise{noRequestFails()},
			},
			{
				title:    "auth-a, in Java, is killed (kill -9)",
				act:      kill(func(st *stage) *site.Process { return st.hosts["a"].Program("auth") }),
				lasts:    3 * time.Second,
				promises: []promise{onlyRequestsUnderWayFail()},
			},
			{
				title: "auth-a is started again",
				act: func(st *stage, _ *observation) error {
					return again(st, st.hosts["a"], func() error { return st.hosts["a"].StartProgram("auth") }, "auth")
				},
				lasts:    time.Second,
				promises: []promise{noRequestFails(), serves("auth-a has")},
			},
			{
				title:    "proxy-b is killed, and with it all that its host offers",
				act:      kill(func(st *stage) *site.Process { return st.hosts["b"].Proxy() }),
				lasts:    3 * time.Second,
				promises: []promise{onlyRequestsUnderWayFail()},
			},
			{
				title: "proxy-b is started again; the programs behind it have gone on",
				act: func(st *stage, _ *observation) error {
					return again(st, st.hosts["b"], st.hosts["b"].StartProxy, all...)
				},
				lasts:    time.Second,
				promises: []promise{noRequestFails(), serves("its four programs have")},
			},
			{
				title:    "an upgrade of proxy-a: a second one is started on the same sockets, and the first one ends",
				act:      upgrade("a"),
				lasts:    time.Second,
				promises: []promise{noRequestFails(), endsByItself()},
			},
			{
				title: "a rolling restart of host a, then of host b: the proxy is asked to stop, then the " +
					"programs; all are started again",
				act:      rollingRestart("a", "b"),
				lasts:    time.Second,
				promises: []promise{noRequestFails()},
			},
			{
				title:    "a release: start; host c with Auth v2 in Java and Proc v2 in Python is started; ship",
				act:      ship,
				lasts:    time.Second,
				promises: []promise{noRequestIsMixed(), onlyMeets("v1")},
			},
			{
				title:    "commit, to 20, 60 and 100 % of the requests; clean: v1 leaves",
				act:      commit,
				lasts:    2 * time.Second,
				promises: []promise{noRequestIsMixed(), onlyMeets("v2")},
			},
		},
	},
	{
		opening: []string{
			"The same release once more, with programs that serve with the stock library alone, without the helper:",
			"each call of a program is a request of its own, and Auth takes no token of another version of Auth.",
		},
		withoutHelper: true,
		scenes: []scene{
			{
				title:    "start, ship and commit, to 20, 60 and 100 %",
				act:      func(st *stage, o *observation) error { return step(ship, commit)(st, o) },
				lasts:    time.Second,
				breaks:   true,
				promises: []promise{requestsBreak()},
			},
		},
	},
}

// step does one thing after the other.
func step(steps ...func(*stage, *observation) error) func(*stage, *observation) error {
	return func(st *stage, o *observation) error {
		for _, do := range steps {
			if err := do(st, o); err != nil {
				return err
			}
		}
		return nil
	}
}

// noticed is how long after the end of a killed process a call may still be sent to it, on a busy machine.
const noticed = 100 * time.Millisecond

func kill(which func(*stage) *site.Process) func(*stage, *observation) error {
	return func(st *stage, o *observation) error {
		p := which(st)
		o.killed = time.Now()
		if err := p.Kill(); err != nil {
			return err
		}
		<-p.Done()
		o.noted = time.Now().Add(noticed)
		return nil
	}
}

// again starts something of a host and waits until the host's programs of the services have calls.
func again(st *stage, host *hosts.Host, start func() error, services ...string) error {
	from := time.Now()
	if err := start(); err != nil {
		return err
	}
	return st.served(from, host, services...)
}

func upgrade(name string) func(*stage, *observation) error {
	return func(st *stage, o *observation) error {
		o.ended = st.hosts[name].Proxy()
		if err := st.hosts[name].StartProxy(); err != nil {
			return err
		}
		select {
		case <-o.ended.Done():
		case <-time.After(backLimit):
			return fmt.Errorf("the first %s has not ended %v after the start of the second", o.ended.Name, backLimit)
		}
		return st.served(time.Now(), st.hosts[name], all...)
	}
}

func rollingRestart(names ...string) func(*stage, *observation) error {
	return func(st *stage, _ *observation) error {
		for _, name := range names {
			if err := st.hosts[name].Stop(); err != nil {
				return err
			}
			if err := again(st, st.hosts[name], st.hosts[name].Start, all...); err != nil {
				return err
			}
		}
		return nil
	}
}

// release does one step as an operator does, by the command.
func (st *stage) release(args ...string) error {
	_, err := hosts.Release(st.ctx, st.site, append(args, "--yes")...)
	return err
}

func ship(st *stage, o *observation) error {
	o.expectedByThen = "v1"
	if err := st.release("start", "--by", "demo", "--reason", "new tokens"); err != nil {
		return err
	}
	if err := st.start("c", "v2", "auth", "proc"); err != nil {
		return err
	}
	manifest := st.site.LogPath("release") + ".yaml"
	text := "modules:\n  auth: {version: v2, wish: 1}\n  proc: {version: v2, wish: 1}\n"
	if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
		return err
	}
	return st.release("ship", "all", "--file", manifest)
}

func commit(st *stage, o *observation) error {
	if err := st.release("commit", "--ramp", "20,60,100", "--every", "1s"); err != nil {
		return err
	}
	if err := st.release("clean"); err != nil {
		return err
	}
	o.expectedByThen, o.lastIsSettled = "v2", time.Now()
	return nil
}

// promise is a condition of a scene. keep measures and judges it.
type promise struct {
	text string
	keep func(*observation) (measured string, kept bool)
}

func noRequestFails() promise {
	return promise{"no request fails", func(o *observation) (string, bool) {
		failed, _, first := o.count()
		return fmt.Sprintf("%d of %d failed%s", failed, len(o.requests), first), failed == 0 && len(o.requests) > 0
	}}
}

// onlyRequestsUnderWayFail: a request fails only if it was under way when the process died, with a call that may have
// been executed there.
func onlyRequestsUnderWayFail() promise {
	return promise{"no request fails but those that the process was working on", func(o *observation) (string, bool) {
		failed, others := 0, 0
		for _, r := range o.requests {
			if r.Err == nil {
				continue
			}
			failed++
			if r.Ended.Before(o.killed) || r.Began.After(o.noted) ||
				!strings.Contains(r.Err.Error(), "may have been executed") {
				others++
			}
		}
		return fmt.Sprintf("%d of %d failed, %d of them others", failed, len(o.requests), others),
			others == 0 && len(o.requests) > 0
	}}
}

func serves(subject string) promise {
	return promise{subject + " calls again", func(o *observation) (string, bool) { return "after " + ms(o.took), true }}
}

func endsByItself() promise {
	return promise{"the first one ends by itself, with status 0", func(o *observation) (string, bool) {
		if _, err := o.ended.Ended(); err != nil {
			return err.Error(), false
		}
		return "it did", true
	}}
}

func noRequestIsMixed() promise {
	return promise{"no request fails, and none meets two versions", func(o *observation) (string, bool) {
		failed, mixed, first := o.count()
		return fmt.Sprintf("%d of %d failed, %d met two versions%s", failed, len(o.requests), mixed, first),
			failed+mixed == 0 && len(o.requests) > 0
	}}
}

// onlyMeets: the requests that began after the action, or all when it changes nothing for them, meet one version.
func onlyMeets(version string) promise {
	return promise{"every request meets " + version + " in the end", func(o *observation) (string, bool) {
		did, others := 0, 0
		for _, r := range o.requests {
			if r.Err != nil || !r.Began.After(o.lastIsSettled) {
				continue
			}
			for _, m := range r.Met {
				switch {
				case m.Callee != "auth" && m.Callee != "proc":
				case m.Version == version:
					did++
				default:
					others++
				}
			}
		}
		return fmt.Sprintf("%d calls of Auth and Proc did, %d did not", did, others),
			version == o.expectedByThen && did > 0 && others == 0
	}}
}

// requestsBreak: skerry promises nothing here. The scene shows what the helper is for.
func requestsBreak() promise {
	return promise{"requests meet both versions: this is what the helper is for", func(o *observation) (string, bool) {
		failed, mixed, first := o.count()
		return fmt.Sprintf("%d of %d broke, %d more met two versions%s", failed, len(o.requests), mixed, first),
			failed+mixed > 0
	}}
}

// count returns the requests that failed and those that met two versions, and the text of a failure.
func (o *observation) count() (failed, mixed int, first string) {
	for _, r := range o.requests {
		switch {
		case r.Err != nil:
			if failed++; failed == 1 {
				first = fmt.Sprintf(" (%v)", r.Err)
			}
		case r.Mixed():
			mixed++
		}
	}
	return failed, mixed, first
}
