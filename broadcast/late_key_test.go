package broadcast

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
)

// TestLateKeys: when a key may come from a database after the start, the warning about its lack
// waits ten seconds; else it comes at once.
func TestLateKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			late  bool
			comes time.Duration
			warns time.Duration // -1: never
		}{{false, time.Hour, 0}, {true, time.Hour, keyWait}, {true, 3 * time.Second, -1}} {
			var log bytes.Buffer
			var keys [][]byte
			var late chan struct{}
			if test.late {
				late = make(chan struct{})
			}
			r, err := New(Config{Cluster: "site", Owner: registry.NewOwner(), LateKeys: late,
				Keys:   func() [][]byte { return keys },
				Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			n := newNetwork(t.Context(), r)
			start, warned := time.Now(), time.Duration(-1)
			for ; time.Since(start) < 30*time.Second; time.Sleep(time.Second) {
				if time.Since(start) >= test.comes {
					keys = ring("key")
				}
				r.rekey(n)
				if warned < 0 && strings.Contains(log.String(),
					"skerry key new --cluster site here, skerry key set --cluster site there") {
					warned = time.Since(start)
				}
			}
			n.group.Stop()
			if got := strings.Count(log.String(), "no key of the site"); warned != test.warns || got > 1 {
				t.Errorf("%+v: warned %d times, first after %v\n%s", test, got, warned, &log)
			}
		}
	})
}

// awaiting returns a registry that awaits its key, with the peers of an earlier run and a seed. The
// buffer holds its log.
func awaiting(t *testing.T, site *sitekeys) (*Registry, chan struct{}, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	late := make(chan struct{})
	r, err := New(Config{Cluster: "site", Owner: registry.NewOwner(),
		Keys: site.keys, KeysChanged: site.changed, LateKeys: late, Seeds: []string{"127.0.0.1"},
		LoadPeers: func() ([]string, error) { return []string{"192.0.2.7:7701"}, nil },
		Logger:    slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return r, late, &log
}

// sitekeys are keys that change while a process runs.
type sitekeys struct {
	mu   sync.Mutex
	now  [][]byte
	news chan struct{}
}

func (k *sitekeys) keys() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *sitekeys) changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.news == nil {
		k.news = make(chan struct{})
	}
	return k.news
}

func (k *sitekeys) set(keys [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = keys
	close(k.news)
	k.news = make(chan struct{})
}

// TestNothingIsSaidBeforeTheKey: while the key is awaited, the process sends no packet to peers of
// an earlier run or seeds, and none for a registration or a departure. With the key, the end of its
// source, or after ten seconds, it sends at once, sealed by the key that has come.
func TestNothingIsSaidBeforeTheKey(t *testing.T) {
	for name, test := range map[string]struct {
		key, gone, speaks time.Duration // 0: never
	}{
		"the key comes":             {key: 1234 * time.Millisecond, speaks: 1234 * time.Millisecond},
		"the database is lost":      {gone: 700 * time.Millisecond, speaks: 700 * time.Millisecond},
		"the database says nothing": {speaks: keyWait},
		"the key, then its loss":    {key: time.Second, gone: 2 * time.Second, speaks: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site := &sitekeys{}
				r, late, log := awaiting(t, site)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				start := time.Now()
				said := func() int {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.core.wake(time.Now())
					return len(r.core.outbox)
				}
				go r.queryRemembered(ctx)
				go r.keepSeeds(ctx)
				at := make(chan time.Duration, 1)
				go func() {
					n := newNetwork(ctx, r)
					defer n.group.Stop()
					if r.awaitKeys(ctx, n) == nil {
						at <- time.Since(start)
						r.rekey(n)
					}
				}()
				if test.key > 0 {
					time.AfterFunc(test.key, func() { site.set(ring("key")) })
				}
				if test.gone > 0 {
					time.AfterFunc(test.gone, func() { close(late) })
				}
				r.do(func(now time.Time) { r.core.restart(now); r.core.want(now, []string{"svc"}, false) })
				put := []registry.Instance{{Service: "svc", Host: "10.0.0.1", Port: 1}}
				if err := r.Apply(ctx, put, nil); !errors.Is(err, registry.ErrUnavailable) {
					t.Errorf("a registration before the key: %v", err)
				}
				time.Sleep(test.speaks - time.Nanosecond)
				synctest.Wait()
				if n := said(); n != 0 || len(at) != 0 {
					t.Errorf("%d packets before the key", n)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if len(at) != 1 || <-at != test.speaks || said() == 0 {
					t.Errorf("after %v it says nothing", test.speaks)
				}
				told := map[netip.AddrPort]bool{}
				for _, o := range r.core.outbox {
					for _, to := range o.to {
						told[to.addr] = true
					}
					if _, err := newCodec("site", site.keys()).open(o.data); err != nil {
						t.Errorf("a packet of the start: %v", err)
					}
				}
				for _, addr := range []string{"192.0.2.7:7701", "127.0.0.1:7759"} {
					if !told[netip.MustParseAddrPort(addr)] {
						t.Errorf("%s is not asked: %v", addr, told)
					}
				}
				if strings.Contains(log.String(), "level=WARN") && test.speaks < keyWait {
					t.Errorf("warned:\n%s", log)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}

// TestFirstKeyIsToldAround: with the first key, announcements and queries are sent again, also when
// the interface stays. A second key, which comes by a rotation, does not repeat them.
func TestFirstKeyIsToldAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &sitekeys{}
		r, late, _ := awaiting(t, site)
		close(late)
		n := newNetwork(t.Context(), r)
		defer n.group.Stop()
		if err := r.awaitKeys(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		r.rekey(n)
		r.links[1] = &link{}
		if err := r.Apply(t.Context(), []registry.Instance{{Service: "svc", Host: "10.0.0.1", Port: 1}},
			nil); err != nil {
			t.Fatal(err)
		}
		r.keysChanged()
		for _, step := range []struct {
			keys [][]byte
			says bool
		}{{ring("key"), true}, {ring("key", "next"), false}} {
			time.Sleep(time.Minute)
			r.core.wake(time.Now())
			r.core.outbox = nil
			site.set(step.keys)
			r.rekey(n)
			if says := len(r.core.outbox) > 0; says != step.says {
				t.Errorf("with %d keys it speaks: %v", len(step.keys), says)
			}
		}
	})
}

// TestLeavingBeforeTheKey: a process that ends while it awaits its key sends no goodbye and does
// not wait for one.
func TestLeavingBeforeTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := awaiting(t, &sitekeys{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		time.Sleep(3 * time.Second)
		began := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(began) != 0 || len(r.core.outbox) != 0 {
			t.Errorf("%v after %v, %d packets", err, time.Since(began), len(r.core.outbox))
		}
	})
}

// TestNoWarningWhileTheKeyIsAwaited: after an early end of the wait, packets of processes with the
// key are counted, and cause no warning before ten seconds.
func TestNoWarningWhileTheKeyIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, late, log := awaiting(t, &sitekeys{})
		close(late)
		n := newNetwork(t.Context(), r)
		defer n.group.Stop()
		for range 2 {
			if err := r.awaitKeys(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			warned := time.Since(n.begun) >= keyWait
			r.rekey(n)
			r.refuse(errMAC, registry.Owner{}, netip.MustParseAddrPort("127.0.0.1:7759"))
			if got := strings.Contains(log.String(), errNoKey.Error()); got != warned {
				t.Errorf("after %v: warned %v\n%s", time.Since(n.begun), got, log)
			}
			time.Sleep(keyWait)
		}
		if r.Stats().WrongKey != 2 {
			t.Errorf("%d counted", r.Stats().WrongKey)
		}
	})
}
