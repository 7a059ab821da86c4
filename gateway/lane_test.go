package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
)

// TestLanes: the first lane of the policy that matches a user's request gives its trace the mark, by header, cookie,
// path, address or share. What a user sends as mark counts for nothing, and a lane of the open release sleeps without
// one.
func TestLanes(t *testing.T) {
	lane := func(gets string, m policy.Match) policy.Item { return policy.Item{Kind: "lanes", Gets: gets, Match: m} }
	table := policy.Compile(&policy.Policy{Lanes: []policy.Item{
		lane("drill", policy.Match{Header: map[string][]string{"X-Drill": {"1"}}}),
		lane("beta", policy.Match{Cookie: map[string][]string{"beta": {"1"}}, Percent: new(0)}),
		lane("preview", policy.Match{Cookie: map[string][]string{"beta": {"1"}}}),
		lane("hall", policy.Match{IP: []string{"10.3.*"}}),
		lane("shop", policy.Match{Path: []string{"/shop/*"}, Method: []string{"GET"}}),
	}}, nil, 0)
	for name, tc := range map[string]struct {
		path, client string
		headers      []string
		want         string
	}{
		"none":                {"/", "10.9.0.1", nil, ""},
		"header":              {"/", "10.9.0.1", []string{"X-Drill", "1"}, "drill"},
		"the first":           {"/shop/1", "10.3.0.1", []string{"X-Drill", "1"}, "drill"},
		"sleeps":              {"/", "10.9.0.1", []string{"Cookie", "beta=1"}, ""},
		"address":             {"/", "10.3.0.1", nil, "hall"},
		"path":                {"/shop/1", "10.9.0.1", nil, "shop"},
		"a mark from outside": {"/", "10.9.0.1", []string{"Baggage", "skerry-mark=drill"}, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://site"+tc.path, nil)
		for i := 0; i+1 < len(tc.headers); i += 2 {
			r.Header.Set(tc.headers[i], tc.headers[i+1])
		}
		if a := new(Entry).read(r, &rollout.Log{}, table, tc.client); a.mark != tc.want {
			t.Errorf("%s: the mark is %q, want %q", name, a.mark, tc.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "http://site/", nil)
	r.Header.Set("X-Drill", "1")
	if a := new(Entry).read(r, &rollout.Log{}, tableOf(struct{}{}), ""); a.mark != "" {
		t.Errorf("without a policy the mark is %q", a.mark)
	}
}
