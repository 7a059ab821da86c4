package proxy

import (
	"context"
	"strings"
	"testing"

	"github.com/skerry/skerry/rpc"
)

// TestCopiesReachPrograms: a copy of a call (mirror in the site's policy) is executed by the program behind the proxy,
// with a helper and without, and what the program then calls is refused unless it is idempotent.
func TestCopiesReachPrograms(t *testing.T) {
	for _, helper := range []bool{true, false} {
		c := newChain(t, false, func(c *chain) map[string]func(word, text string) (string, error) {
			return map[string]func(word, text string) (string, error){
				"charge": func(word, text string) (string, error) {
					word, _, _ = strings.Cut(word, ".")
					if word == "" {
						return "executed", nil
					}
					_, err := dialCaller(t, "unix", c.path).call(context.Background(), "ctx="+word+";auth:verify", text)
					return err.Error(), nil
				},
			}
		}, func(p *foreignProgram) { p.helper = helper })
		c.client = c.caller.Client("billing", func(o *rpc.ServiceOptions) { o.Idempotent = []string{"charge"} })
		got, err := c.charge(rpc.WithBaggage(t.Context(), "skerry-mirror=1"), "charge", "5")
		want := "executed"
		if helper {
			want = "shadow: auth.verify"
		}
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("with a helper %v: %q, %v", helper, got, err)
		}
	}
}
