//go:build linux

package consistency

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skerry/skerry/internal/pgtest"
)

// The schedules under a policy of the site that changes beside each step of a release.

// TestSchedulesUnderAPolicy plays schedules again while the site's policy routes calls, delays them, lets them fail,
// answers them, copies them, limits them and gives lanes. A policy is applied, undone, and has its plan switched on and
// off while a step of the release is under way. Copies are traces of their own, which the same checker judges. Only
// the requests of tenants that the policy harms may fail, by the codes of the policy.
func TestSchedulesUnderAPolicy(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(*testing.T){
		"callers with old rules": func(t *testing.T) { // A1; two hosts hear of no policy
			callersWithOldRules(t, policed(newSite(t, 5, onTheLAN), &ruling{trial: 1, hall: 1, near: []int{1, 3}}))
		},
		"lost answers": func(t *testing.T) { // A3; the operator of the policy loses answers, too
			lostAnswers(t, policed(newSite(t, 4, repeatingOnTheLAN),
				&ruling{trial: 2, hall: 1, near: []int{1, 2}, lossy: true}))
		},
		"release of two": func(t *testing.T) { // A18
			releaseOfTwo(t, policed(newSite(t, 4, onTheLAN), &ruling{trial: 2, hall: 2, near: []int{2, 3}}), nil)
		},
		"release of two, database": func(t *testing.T) {
			s, db := onDatabase(t, 4, "database", pgtest.Options{})
			releaseOfTwo(t, policed(s, &ruling{trial: 2, hall: 2, near: []int{2, 3}}), db)
		},
		"ramp and back": func(t *testing.T) { // A19; no version but the first one is at the host that the route names
			rampAndBack(t, policed(newSite(t, 4, onTheLAN), &ruling{trial: 1, hall: 2, near: []int{2, 3}, kept: true}))
		},
		"version dies": func(t *testing.T) { // A21
			versionDies(t, policed(newSite(t, 4, onTheLAN), &ruling{trial: 1, near: []int{1, 3}}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t)
		})
	}
}

// ruling is a policy that an operator changes during the steps of a release.
type ruling struct {
	near  []int // hosts that routes and weights prefer in turn
	trial int   // services that copies meet in a new version
	hall  int   // host that the calls of the tenant hall must not leave; 0: no such route
	kept  bool  // some versions have no instance at hall, so its calls fail
	lossy bool  // a change may fail, as its answers get lost

	site  *site
	turn  int      // of the next change
	busy  bool     // a change is under way
	done  []string // changes that are obeyed
	lost  []string // changes that have failed
	mu    sync.Mutex
	after sync.WaitGroup
}

// tenants are those of the users of a site with a policy, in turn.
var tenants = []string{"", "", "drill", "soft", "greedy", "hall", "beta"}

// policed gives a site an operator that changes its policy.
func policed(s *site, r *ruling) *site {
	r.site, s.policy = s, r
	return s
}

// ruledLists are the lists of a service's calls that some items delay, fail, answer, copy or limit. Their places are a
// share and the mark of copies.
const ruledLists = `    idempotent: [visit]
    limits:
      - {pending: 900, per: instance}
      - {match: {tenant: greedy}, pending: 1, per: instance}
      - {match: {tenant: greedy}, rate: 4, burst: 1, per: site}
    fallback:
      - {match: {method: visit, tenant: soft}, on: [overloaded], reply: {}}
    faults:
      - {name: soft, match: {tenant: soft, percent: 50}, error: overloaded, expires: 1h}
      - {name: drill, match: {tenant: drill, percent: %[1]d}, delay: 20ms, error: unavailable, expires: 1h}
      - {name: slow, match: {percent: %[1]d}, delay: 30ms, expires: 1h}
    mirror:
      - {name: trial, match: {method: visit, percent: %[1]d}, to: {mark: %[2]s}, expires: 1h}
      - {name: drill, match: {method: visit, percent: 60}, to: {mark: drill}, expires: 1h}
`

// ruledText is the text of the policy. Its places are the lists, a host that is preferred, what holds for the tenant
// hall, and the balancer.
const ruledText = `policy: 1
services:
  auth:
%[1]s    retries: 2
    balancer: %[4]s
%[3]s      - {name: near, match: {percent: 50}, to: {host: %[2]s}, else: all}
    weights:
      - {host: %[2]s, weight: 20}
  proc:
%[1]slanes:
  - {name: beta, match: {tenant: beta}, gets: preview}
plans:
  storm:
    why: "the queue grows"
    services:
      proc:
        fallback:
          - {match: {method: visit, tenant: soft}, on: [always], reply: {}, expires: 1h}
        faults:
          - {match: {percent: 25}, delay: 50ms, expires: 1h}
        limits:
          - {pending: 800, per: site}
`

// text returns the policy of a turn.
func (r *ruling) text(turn int) string {
	hall := "    route:\n"
	if r.hall > 0 {
		hall += fmt.Sprintf("      - {name: hall, match: {tenant: hall}, to: {host: %s}, else: none}\n",
			hostName(r.hall))
	}
	if r.kept { // a call that the route keeps away waits no longer for an instance that never comes
		hall = "    wait: 300ms\n" + hall
	}
	mark := "preview"
	if turn%4 == 2 {
		mark = "drill"
	}
	lists := fmt.Sprintf(ruledLists, []int{30, 60, 45}[turn%3], mark)
	return fmt.Sprintf(ruledText, lists, hostName(r.near[turn%len(r.near)]), hall,
		[]string{"p2c", "round-robin", "hash"}[turn%3])
}

// next returns the arguments of the next change.
func (r *ruling) next() []string {
	r.turn++
	storm := []string{"plan", "on", "storm", "--for", "1h"}
	switch (r.turn - 1) % 9 {
	case 1:
		return append(storm, r.although()...)
	case 3, 6, 8:
		return []string{"plan", "off", "storm"}
	case 4, 7:
		return []string{"undo"}
	}
	path := filepath.Join(r.site.dir, fmt.Sprintf("policy-%d.yaml", r.turn))
	if err := os.WriteFile(path, []byte(r.text(r.turn)), 0o600); err != nil {
		r.site.t.Error(err)
	}
	return append([]string{"apply", path}, r.although()...)
}

// although accepts a route that leads nowhere when a version ends.
func (r *ruling) although() []string { return []string{"--although", "services.auth.route[0]"} }

// changes changes the policy while a step of a release is under way. The first change is obeyed before the first step.
func (r *ruling) changes(step string) {
	if r == nil || !slices.Contains([]string{"start", "ship", "commit", "rollback", "clean"}, step) {
		return
	}
	r.site.t.Helper()
	r.mu.Lock()
	first, busy := r.turn == 0, r.busy
	r.busy = true
	r.mu.Unlock()
	if busy {
		return
	}
	if first {
		r.change(step)
	}
	r.after.Go(func() {
		r.change(step)
		if step == "commit" || step == "clean" {
			r.change(step)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
	})
}

// change makes one change, and waits until it is obeyed.
func (r *ruling) change(step string) {
	r.mu.Lock()
	args := r.next()
	r.mu.Unlock()
	said, err := r.site.command(0, append([]string{"policy", "--yes", "--by", "ann"}, args...)...).done()
	obeyed := strings.Contains(said, " is obeyed by ") && !strings.Contains(said, " is obeyed by 0 ")
	r.mu.Lock()
	defer r.mu.Unlock()
	what := step + ": " + args[0]
	if args[0] == "plan" {
		what += " " + args[1]
	}
	if obeyed {
		r.done = append(r.done, what)
		return
	}
	r.lost = append(r.lost, fmt.Sprintf("%s: %v\n%s", what, err, said))
}

// ends waits until no change is under way.
func (r *ruling) ends() {
	if r != nil {
		r.after.Wait()
	}
}

// explains reports whether a request had to fail by the policy.
func (r *ruling) explains(n note) bool {
	if r == nil {
		return false
	}
	switch tenantOf(n.Trace) {
	case "drill":
		return n.Code == "connection_lost" && strings.Contains(n.Text, "injected by the site's policy")
	case "greedy":
		return n.Code == "limited" && strings.Contains(n.Text, ".limits[")
	case "hall":
		return r.kept && n.Code == "no_instance"
	}
	return false
}

// judge checks that the policy was changed in each step and has done what it says.
func (r *ruling) judge(v verdict) {
	if r == nil {
		return
	}
	t := r.site.t
	t.Helper()
	t.Logf("%d changes of the policy: %s", len(r.done), strings.Join(r.done, ", "))
	for _, text := range r.lost {
		if !r.lossy {
			t.Errorf("a change has failed: %s", text)
		}
	}
	if len(r.done) < 4 {
		t.Errorf("the policy was changed %d times, and not %d times: the scene proves nothing: %q", len(r.done),
			len(r.lost), r.lost)
	}
	did := map[string]int{}
	for _, n := range r.site.book.of(asked, nil) {
		if tenant := tenantOf(n.Trace); r.explains(n) {
			did[tenant]++
		} else if tenant == "hall" && n.Code == "" {
			did["hall is served"]++
		}
	}
	marks := map[string]bool{}
	for _, e := range v.history.Entries {
		if e.Session != nil {
			marks[e.Session.Mark] = true
		}
	}
	trial := map[string]bool{} // services of which users or copies met the new version by its mark
	for _, span := range v.history.Spans {
		switch {
		case span.Begin.IsZero():
		case strings.Contains(span.Trace, copied):
			if did["copied"]++; marks[span.Token.Mark] && span.Version != "v1" {
				trial[span.Service] = true
			}
		case tenantOf(span.Trace) == "beta" && marks[span.Token.Mark] && span.Version != "v1":
			did["beta met the new version"]++
		}
	}
	t.Logf("the policy did: %v", did)
	if len(trial) != r.trial {
		t.Errorf("copies met new versions of %v, want %d services", trial, r.trial)
	}
	wants := []string{"drill", "greedy", "copied", "beta met the new version"}
	if r.hall > 0 {
		wants = append(wants, "hall is served")
	}
	if r.kept {
		wants = append(wants, "hall")
	}
	for _, what := range wants {
		if did[what] == 0 {
			t.Errorf("nothing of %q: the scene proves nothing", what)
		}
	}
}
