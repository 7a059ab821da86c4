package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// promises returns the promises of the site's other processes, by their addresses.
func promises(t *testing.T, n *skerry.Node, want int) map[string]string {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < limit; time.Sleep(10 * time.Millisecond) {
		out := map[string]string{}
		for _, in := range n.Explain("skerry.node") {
			e, err := promisedAt(t, in.Addr)
			if err == nil && e != "" {
				out[in.Addr] = e
			}
		}
		if len(out) == want {
			return out
		}
	}
	t.Fatalf("never %d promises", want)
	return nil
}

// testKey returns the site key of these tests.
func testKey(t *testing.T) sitekey.Key {
	t.Helper()
	key, err := sitekey.Parse(lab.SiteKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// proofOf returns the proof of the site's key for a text.
func proofOf(t *testing.T, use, text string) rollout.Proof {
	t.Helper()
	mac := hmac.New(sha256.New, testKey(t).Use(use, "test-site"))
	mac.Write([]byte(text))
	return rollout.Proof{Kind: rollout.SiteProof, Signature: mac.Sum(nil)}
}

// proven returns an entry signed by the site's key.
func proven(t *testing.T, e rollout.Entry) rollout.Entry {
	t.Helper()
	e, err := e.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return e.WithProof(proofOf(t, "release", e.Body()))
}

// internalAt returns a client of skerry's internal service at an address.
func internalAt(t *testing.T, addr string) *wire.InternalClient {
	t.Helper()
	key := testKey(t)
	site, err := sitetls.New(sitetls.Config{Cluster: "test-site", Owner: registry.NewOwner().String(),
		Seeds: func() [][]byte { return [][]byte{key.Use("site", "test-site")} }})
	if err != nil {
		t.Fatal(err)
	}
	c, err := rpc.NewClient(rpc.ClientConfig{
		Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Addr: addr, Site: true}), Site: site,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := c.Service("skerry.internal", rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return wire.NewInternalClient(s)
}

func promisedAt(t *testing.T, addr string) (release string, err error) {
	text, err := internalAt(t, addr).Promised(t.Context())
	if err != nil || len(text) == 0 {
		return "", err
	}
	r, err := rollout.ParseRecord(text)
	if err != nil {
		return "", err
	}
	e, err := r.Open()
	return e.Release, err
}

// Two processes of one program keep their promises apart in one directory. A process
// started after a kill -9 keeps the promises of the killed one.
func TestPromisesSurviveKill(t *testing.T) {
	dir := t.TempDir()
	cfg := site(t, "state_dir: "+dir+"\ngateway: {routes: [{path: /, service: web}], listen: \"127.0.0.1:0\"}\n")
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.StateDir, c.Log.Level = "none", "error"
	looker, err := skerry.Open(t.Context(), c, skerry.AsObserver())
	if err != nil {
		t.Fatal(err)
	}
	defer looker.Close()
	seen := map[string]bool{}
	start := func(release string) (kill func()) {
		p, _ := program(t, "gateway", "--config", cfg)
		for begun := time.Now(); time.Since(begun) < limit; time.Sleep(10 * time.Millisecond) {
			for _, in := range looker.Explain("skerry.node") {
				if seen[in.Addr] {
					continue
				}
				seen[in.Addr] = true
				if release != "" {
					e := rollout.Entry{Cluster: "test-site", Generation: rollout.Generation{N: 1}, Release: release}
					by := rollout.Undertaking{Command: "ann", Proof: proofOf(t, "promise", e.PromiseText("ann"))}
					asked, err := json.Marshal(by)
					if err != nil {
						t.Fatal(err)
					}
					if err := internalAt(t, in.Addr).Promise(t.Context(), e.Record().Marshal(), asked); err != nil {
						t.Fatal(err)
					}
				}
				return func() { p.Process.Kill(); p.Wait() }
			}
		}
		t.Fatal("the process is not listed")
		return nil
	}
	kill1, kill2 := start("spring"), start("summer")
	kill1()
	kill3 := start("")
	var all []string
	for _, release := range promises(t, looker, 2) {
		all = append(all, release)
	}
	if slices.Sort(all); !slices.Equal(all, []string{"spring", "summer"}) {
		t.Errorf("after kill -9 of one: %v", all)
	}
	kill2()
	kill3()
	start("")
	start("")
	all = nil
	for _, release := range promises(t, looker, 2) {
		all = append(all, release)
	}
	if slices.Sort(all); !slices.Equal(all, []string{"spring", "summer"}) {
		t.Errorf("after kill -9 of both: %v", all)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.rules.json"))
	if len(files) != 2 {
		entries, _ := os.ReadDir(dir)
		t.Errorf("state files of rules: %v (%v)", files, entries)
	}
}
