package control_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// TestDescriptions: processes tell the .thrift text that their configuration names, of services that they offer or that
// their gateway leads to, and say why they can't. A version that the rules lead nothing to is refused.
func TestDescriptions(t *testing.T) {
	site := lanSite(t)
	file := filepath.Join(t.TempDir(), "greeter.thrift")
	must(t, "write", os.WriteFile(file, []byte("service Greeter { string greet() }\n"), 0o644))
	offered := site
	offered.Service = config.Service{Name: "greeter", Version: "v1", Thrift: file}
	provider := open(t, offered)
	must(t, "handle", provider.Handle(t.Context(), "greeter", wire.NewInternalProcessor(&greeter{name: "anna"})))
	leading := site
	leading.StateDir = t.TempDir()
	leading.Service = config.Service{Name: "edge"}
	leading.Gateway.Routes = []config.Route{{Path: "/greeter", Service: "greeter", Thrift: file + ".gone",
		Interface: "Greeter"}}
	edge := open(t, leading)
	must(t, "handle", edge.Handle(t.Context(), "edge", wire.NewInternalProcessor(&greeter{name: "edge"})))
	site.StateDir = t.TempDir()
	looker := open(t, site)
	var list []control.Description
	eventually(t, "both processes answer", func() (ok bool) {
		var err error
		list, err = control.Descriptions(t.Context(), looker, "greeter")
		return err == nil && len(list) == 2
	})
	if d := list[0]; d.Process != provider.Membership().Owner().String() || d.Version != "v1" || d.Trouble != "" ||
		!strings.Contains(string(d.Files[d.Main]), "service Greeter") || strings.Contains(d.Main, filepath.Dir(file)) {
		t.Errorf("the provider tells %+v", d)
	}
	if d := list[1]; d.Process != edge.Membership().Owner().String() || !strings.Contains(d.Trouble, ".gone") ||
		d.Declared != "Greeter" || len(d.Files) > 0 {
		t.Errorf("the gateway tells %+v", d)
	}
	if list, err := control.Descriptions(t.Context(), looker, "none"); err != nil || len(list) > 0 {
		t.Errorf("of another service: %+v, %v", list, err)
	}
	ctx, end, err := control.BeginAt(t.Context(), looker, "test", "greeter", "")
	must(t, "begin", err)
	defer end()
	if info := rpc.CallInfoFrom(ctx); info == nil || info.Trace == "" {
		t.Error("no trace has begun")
	}
	_, end, err = control.BeginAt(t.Context(), looker, "test", "greeter", "v1")
	must(t, "begin at a version of which no rule speaks", err)
	end()
}
