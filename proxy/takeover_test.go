package proxy

import (
	"testing"

	"github.com/skerry/skerry/config"
)

// A second proxy takes the socket when it knows the rules of the site and the services that the
// program calls. Before that, its first calls would wait 300 ms and more.
func TestAProxyTakesASocketWhenItIsPrepared(t *testing.T) {
	c := site(t)
	offer(t, c, "auth", "v1", echoing("", nil))
	path := socketPath(t)
	billing := config.Program{Listen: "unix:" + path}
	start(t, c, map[string]config.Program{"billing": billing})
	if _, err := helperCall(path, "auth:verify", "x"); err != nil {
		t.Fatal(err)
	}
	if s, err := Ask(t.Context(), billing); err != nil || len(s.Calls) != 1 || s.Calls[0] != "auth" {
		t.Fatalf("the first proxy says that the program calls %q, %v; want auth", s.Calls, err)
	}
	c.StateDir = t.TempDir()
	c.Proxy.Programs = map[string]config.Program{"billing": billing}
	second, err := New(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.open(t.Context()); err != nil { // it has the socket now
		t.Fatal(err)
	}
	defer closeAll(second.programs)
	node := second.programs[0].node
	if !node.Rollout().Ready() {
		t.Error("the second proxy has the socket and does not know the rules of the site")
	}
	if second.programs[0].callees["auth"] == nil || len(node.Explain("auth")) == 0 {
		t.Error("the second proxy has the socket and no instance of the service that the program calls")
	}
}
