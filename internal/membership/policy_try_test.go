package membership

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy/form"
)

// TestTrialsAreBounded: a text, plans or a time beyond the bounds are refused before anything is done, a text that is
// no policy after it was read, and one trial waits for no other.
func TestTrialsAreBounded(t *testing.T) {
	s := &Service{cfg: ServiceConfig{Recent: recent.New()}}
	const text = "policy: 1\n"
	for _, c := range []struct {
		what    string
		text    string
		seconds int64
		plans   int
	}{
		{"bytes", text + strings.Repeat("#", form.MaxText), 300, 0},
		{"seconds", text, 0, 0},
		{"seconds", text, 301, 0},
		{"plans", text, 300, tryPlans + 1},
		{"policy", "\x00\xff{{{", 300, 0},
		{"policy", "policy: 99\n", 300, 0},
	} {
		if _, err := s.try(t.Context(), []byte(c.text), c.seconds, make([]string, c.plans)); err == nil ||
			!strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	s.trying.Lock()
	if _, err := s.try(t.Context(), []byte(text), 300, nil); err != errTrying {
		t.Errorf("beside another trial: %v", err)
	}
}
