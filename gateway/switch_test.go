package gateway_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/chance"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
)

// traces records the services and versions that executed each trace.
type traces struct {
	mu  sync.Mutex
	met map[string]map[string]bool // by trace id: service/version
}

func (r *traces) note(r2 *http.Request, who ...string) {
	id := strings.Split(r2.Header.Get("Traceparent"), "-")[1]
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.met == nil {
		r.met = map[string]map[string]bool{}
	}
	if r.met[id] == nil {
		r.met[id] = map[string]bool{}
	}
	for _, w := range who {
		r.met[id][w] = true
	}
}

// provider offers web and auth in one version; web asks auth.
func (s *site) provider(version string, seen *traces) *skerry.Node {
	s.t.Helper()
	n := s.open(config.Service{Name: "auth", Version: version})
	if err := n.Handle(s.t.Context(), "auth", authapi.NewAuthProcessor(guard{version})); err != nil {
		s.t.Fatal(err)
	}
	auth := skerry.Stub(n, "auth", authapi.NewAuthClient)
	s.web(n, version, gateway.Join(n, "web", version, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		met, err := auth().Verify(r.Context(), "x")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		seen.note(r, "web/"+version, "auth/"+met)
		fmt.Fprintf(w, "web %s auth %s", version, met)
	})))
	return n
}

// Two services are switched together, repeatedly, under load, and every process learns of a switch
// at another time. No request fails, and none meets two versions.
func TestNoTraceMeetsTwoVersions(t *testing.T) {
	s, seen, rand := newSite(t), &traces{}, chance.Rand(t, 3)
	s.provider("v1", seen)
	s.provider("v2", seen)
	s.append(nil, only("v1", "web", "auth"))
	edge := s.gate()
	var stop atomic.Bool
	var asked, second atomic.Int64
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for !stop.Load() {
				method, body := http.MethodGet, ""
				if rand.IntN(2) == 0 {
					method, body = http.MethodPost, "something"
				}
				status, text := ask(t, method, edge.URL, body)
				asked.Add(1)
				switch {
				case status != http.StatusOK:
					t.Errorf("%d %s", status, text)
					return
				case text == "web v2 auth v2":
					second.Add(1)
				case text != "web v1 auth v1":
					t.Errorf("a request met %s", text)
				}
			}
		})
	}
	for i := range 8 {
		time.Sleep(100 * time.Millisecond)
		e := s.write(nil, only([]string{"v2", "v1"}[i%2], "web", "auth"))
		for _, k := range rand.Perm(len(s.nodes)) {
			s.learn(s.nodes[k], e)
			time.Sleep(20 * time.Millisecond)
		}
	}
	stop.Store(true)
	load.Wait()
	for id, met := range seen.met {
		if len(met) != 2 {
			t.Errorf("trace %s met %v", id, met)
		}
	}
	if n := second.Load(); n == 0 || n == asked.Load() {
		t.Errorf("%d of %d requests met v2", n, asked.Load())
	}
	t.Logf("%d requests, %d of them by v2", asked.Load(), second.Load())
	for range 200 {
		if len(s.node.Rollout().Live()) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("traces that never ended: %v", s.node.Rollout().Live())
}

// A verifier's cookie counts while its release is open. The mark of another release never counts.
func TestPreviewCookie(t *testing.T) {
	s := newSite(t)
	for _, v := range []string{"v1", "v2"} {
		s.web(s.node, v, says(v))
	}
	edge := s.gate()
	met := func(value string) string {
		_, text := ask(t, http.MethodGet, edge.URL, "", "Cookie", gateway.PreviewCookie+"="+value)
		return text
	}
	s.append(nil, only("v1", "web"))
	marked := rollout.Rule{Version: "v1", Marks: map[string]string{"m-123": "v2", "old": "v2"}}
	open := rollout.Release{Name: "r1", Mark: "m-123", State: rollout.Prepared}
	s.append(&open, map[string]rollout.Rule{"web": marked})
	for value, want := range map[string]string{"m-123": "v2", "m-12": "v1", "old": "v1", "": "v1"} {
		if got := met(value); got != want {
			t.Errorf("cookie %q: met %s, want %s", value, got, want)
		}
	}
	over := open
	over.State = rollout.Stopped
	s.append(&over, nil)
	if got := met("m-123"); got != "v1" {
		t.Errorf("after the release the cookie leads to %s", got)
	}
}

// A user with a sticky cookie or header stays on one side of a split.
func TestStickyUsers(t *testing.T) {
	s := newSite(t)
	for _, v := range []string{"v1", "v2"} {
		s.web(s.node, v, says(v))
	}
	s.append(nil, map[string]rollout.Rule{
		"web": {Version: "v1", Split: []rollout.Share{{Version: "v2", Release: "r1", PerMyr: 5000}}},
	})
	edge := s.gate(func(c *gateway.Config) { c.StickyCookie, c.StickyHeader = "session", "X-User" })
	met := map[string]int{}
	for user := range 30 {
		name := fmt.Sprint("user", user)
		_, first := ask(t, http.MethodGet, edge.URL, "", "Cookie", "session="+name)
		met[first]++
		for range 5 {
			if _, again := ask(t, http.MethodGet, edge.URL, "", "X-User", name); again != first {
				t.Errorf("%s met %s, then %s", name, first, again)
			}
		}
	}
	if met["v1"] < 5 || met["v2"] < 5 {
		t.Errorf("met %v with equal shares", met)
	}
}

// A version without an instance is an error, never another version.
func TestNoInstanceOfTheVersion(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "v1", says("v1"))
	s.append(nil, only("v3", "web"))
	var lines bytes.Buffer
	edge := s.gate(func(c *gateway.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
		c.Routes[0].Timeout = 300 * time.Millisecond // time of the wait
	})
	status, text := ask(t, http.MethodGet, edge.URL, "")
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "not executed") {
		t.Errorf("%d %s", status, text)
	}
	edge.Close()
	id := text[strings.LastIndexByte(strings.TrimSpace(text), ' ')+1:]
	id = strings.TrimSpace(id)
	if said := lines.String(); !strings.Contains(said, "v3") || !strings.Contains(said, "v1") ||
		!strings.Contains(said, "request="+id) {
		t.Errorf("the log does not say of request %q why: %s", id, said)
	}
}

// With the strategy blocking a request waits for the version instead.
func TestBlockingStrategyWaits(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "v1", says("v1"))
	s.append(nil, map[string]rollout.Rule{"web": {Version: "v2", Strategy: rollout.Blocking, Turn: "v2"}})
	edge := s.gate()
	answers := make(chan string, 1)
	var load sync.WaitGroup
	load.Go(func() { _, text := ask(t, http.MethodGet, edge.URL, ""); answers <- text })
	time.Sleep(100 * time.Millisecond)
	s.web(s.node, "v2", says("v2"))
	load.Wait()
	if got := <-answers; got != "v2" {
		t.Errorf("met %q", got)
	}
}

// A refused root request gets a new token, and its client does not notice.
func TestRefusedRequestStartsOver(t *testing.T) {
	s := newSite(t)
	var once sync.Once
	v1 := s.open(config.Service{})
	retired := gateway.Join(v1, "web", "v1", says("v1"))
	s.web(v1, "v1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { // v1 is switched off while the request is in flight
			e := s.write(nil, only("v2", "web"))
			r := s.write(nil, nil, rollout.Retirement{Service: "web", Version: "v1", Floor: e.Generation})
			for _, n := range s.nodes {
				s.learn(n, e)
				s.learn(n, r)
			}
		})
		retired.ServeHTTP(w, r)
	}))
	s.web(s.node, "v2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "v2 ", r.ContentLength)
	}))
	s.append(nil, only("v1", "web"))
	edge := s.gate()
	if status, text := ask(t, http.MethodPost, edge.URL, "12345"); status != http.StatusOK || text != "v2 5" {
		t.Errorf("%d %s", status, text)
	}
}

// ruled is a node with a policy.
type ruled struct {
	*skerry.Node
	table *policy.Table
}

func (r ruled) PolicyTable() *policy.Table { return r.table }

// TestPreviewLane: a lane that gets the mark of the open release brings a tenant to its new version from the first ship
// to the commit, also while a ramp has given the tenant the old one. It sleeps before the release, after its commit,
// while it is rolled back, and when it is over: then the tenant meets what all meet.
func TestPreviewLane(t *testing.T) {
	s := newSite(t)
	for _, v := range []string{"v1", "v2"} {
		s.web(s.node, v, says(v))
	}
	table := policy.Compile(&policy.Policy{Lanes: []policy.Item{{Kind: "lanes", Gets: "preview",
		Match: policy.Match{Baggage: map[string][]string{"tenant": {"t7"}}}}}}, nil, 0)
	g, err := gateway.New(ruled{s.node, table}, gateway.Config{Logger: quiet,
		Gateway: config.Gateway{Routes: []config.Route{{Path: "/", Service: "web"}}}})
	if err != nil {
		t.Fatal(err)
	}
	edge := httptest.NewServer(g)
	t.Cleanup(edge.Close)
	met := func(tenant string) string {
		_, text := ask(t, http.MethodGet, edge.URL, "", "Baggage", "tenant="+tenant)
		return text
	}
	s.append(nil, only("v1", "web"))
	both := rollout.Rule{Version: "v1", Marks: map[string]string{"m-123": "v2"}}
	ramping := rollout.Rule{Version: "v1", Marks: both.Marks,
		Split: []rollout.Share{{Version: "v2", Release: "r1", PerMyr: 1}}}
	for _, step := range []struct {
		state        rollout.State
		rule         rollout.Rule
		tenant, rest string
	}{
		{rollout.Prepared, both, "v2", "v1"},
		{rollout.Ramping, ramping, "v2", "v1"},
		{rollout.Switched, rollout.Rule{Version: "v2"}, "v2", "v2"},
		{rollout.RollingBack, rollout.Rule{Version: "v1"}, "v1", "v1"},
		{rollout.Stopped, rollout.Rule{Version: "v1"}, "v1", "v1"},
	} {
		s.append(&rollout.Release{Name: "r1", Mark: "m-123", State: step.state},
			map[string]rollout.Rule{"web": step.rule})
		for tenant, want := range map[string]string{"t7": step.tenant, "t8": step.rest} {
			if got := met(tenant); got != want {
				t.Errorf("while the release is %v, %s meets %s, want %s", step.state, tenant, got, want)
			}
		}
	}
}
