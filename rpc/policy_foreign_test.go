package rpc

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/policy"
)

// foreign is a request of GET to echo from an address.
func foreign(addr string) *ForeignCall {
	return &ForeignCall{Service: "echo", From: PeerInfo{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 0)},
		Request: policy.Request{Method: "GET"}, Instances: 1, Sharing: 1}
}

// TestForeignAccess: a forwarded call is refused by the address of its caller or the name of its certificate, or
// audited, and counted with the calls to the process's own services.
func TestForeignAccess(t *testing.T) {
	site := ruled(guard(policy.Access{}, "deny", policy.Match{Caller: []string{"ip:10.3.*", "mallory"}}))
	s, err := NewServer(ServerConfig{Policy: site})
	if err != nil {
		t.Fatal(err)
	}
	admit := func(c *ForeignCall) error {
		t.Helper()
		end, err := s.AdmitForeign(c)
		if err == nil {
			end()
		}
		return err
	}
	if err := admit(foreign("10.3.0.1")); err != nil {
		t.Errorf("while it is audited: %v", err)
	}
	site.set(guard(policy.Access{Enforce: true}, "deny", policy.Match{Caller: []string{"ip:10.3.*", "mallory"}}))
	err = admit(foreign("10.3.0.1"))
	wantCode(t, err, AccessDenied, NotExecuted)
	if !strings.Contains(err.Error(), "ip:10.3.0.1 may not call echo.GET: services.echo.access.deny[0]") {
		t.Errorf("got %v", err)
	}
	if err := admit(foreign("10.4.0.1")); err != nil {
		t.Errorf("another address: %v", err)
	}
	named := foreign("10.4.0.1")
	named.From.Certificate = &x509.Certificate{Subject: pkix.Name{CommonName: "mallory"}}
	wantCode(t, admit(named), AccessDenied, NotExecuted)
	all, _ := s.DeniedCalls()
	if len(all) != 3 || all[0].Method != "GET" {
		t.Fatalf("counted: %+v", all)
	}
	proofs := map[string]int{}
	for _, row := range all {
		if row.Enforced {
			proofs[row.Caller+" by "+row.Proof]++
		}
	}
	if proofs["ip:10.3.0.1 by address"] != 1 || proofs["mallory by certificate"] != 1 {
		t.Errorf("counted: %+v", all)
	}
	site.table.Store(nil)
	if err := admit(named); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}

// TestForeignLimits: processes that forward calls share a limit of the site and, for each instance, a limit of the
// instance. What runs counts on while the policy changes, and a refusal by a rate says when there is room.
func TestForeignLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := ruled(&policy.Service{})
		s, err := NewServer(ServerConfig{Policy: site})
		if err != nil {
			t.Fatal(err)
		}
		admit := func(instances, sharing int) (end func(), err error) {
			c := foreign("10.0.0.1")
			c.Instances, c.Sharing = instances, sharing
			return s.AdmitForeign(c)
		}
		fill := func(instances, sharing int) (ends []func(), err error) {
			for len(ends) < 100 && err == nil {
				var end func()
				if end, err = admit(instances, sharing); err == nil {
					ends = append(ends, end)
				}
			}
			return ends, err
		}
		for _, test := range []struct {
			per                      string
			instances, sharing, want int
		}{
			{"site", 4, 1, 6}, {"site", 4, 2, 3}, {"site", 4, 100, 1}, {"site", 0, 0, 6},
			{"instance", 4, 1, 24}, {"instance", 4, 2, 12}, {"instance", 0, 0, 6}, {"instance", 1, 100, 1},
		} {
			site.set(limits(policy.Item{Pending: 6, Per: test.per}))
			ends, err := fill(test.instances, test.sharing)
			if len(ends) != test.want || CodeOf(err) != Limited || !SafeToRetry(err) {
				t.Errorf("%+v: %d at a time, then %v", test, len(ends), err)
			}
			var when interface{ RetryAfter() time.Duration }
			if errors.As(err, &when) {
				t.Errorf("%+v: it says when a call ends: %v", test, when.RetryAfter())
			}
			if test.sharing == 2 && !strings.Contains(err.Error(), "of which each of 2 gateways has its share") {
				t.Errorf("%+v: %v", test, err)
			}
			site.set(limits(policy.Item{Pending: 7, Per: test.per})) // it counts on
			more, _ := fill(1, 1)
			if n := len(more) + len(ends); n != max(7, len(ends)) {
				t.Errorf("%+v: %d at a time after a change", test, n)
			}
			for _, end := range append(ends, more...) {
				end()
			}
		}

		rate := limits(policy.Item{Rate: 10, Burst: 4, Per: "site"}, policy.Item{Pending: 1000, Per: "instance"})
		site.set(rate)
		ends, err := fill(3, 2)
		var when interface{ RetryAfter() time.Duration }
		if len(ends) != 2 || !errors.As(err, &when) || when.RetryAfter() != 200*time.Millisecond {
			t.Fatalf("%d at once, then %v, %v", len(ends), err, when)
		}
		time.Sleep(when.RetryAfter())
		if ends, _ = fill(3, 2); len(ends) != 1 {
			t.Errorf("%d calls after the time that the refusal says", len(ends))
		}
		site.set(limits(policy.Item{Match: policy.Match{Method: []string{"POST"}}, Rate: 1, Per: "site"}))
		if _, err = fill(1, 1); err != nil {
			t.Errorf("a limit of another method: %v", err)
		}
	})
}
