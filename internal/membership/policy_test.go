package membership

import (
	"testing"

	"github.com/skerry/skerry/registry"
)

func TestAnnouncedPolicies(t *testing.T) {
	for tag, want := range map[string]uint64{"18 0a1b2c3d": 18, "": 0, "18": 0, "18 0a": 0, "x 0a1b2c3d": 0,
		"-1 0a1b2c3d": 0, "18 0a1b2c3d0a1b2c3d": 0} {
		if got, _ := announcedPolicy(tag); got != want {
			t.Errorf("%q announces %d, want %d", tag, got, want)
		}
	}
	l := newList(nil)
	snap := registry.Snapshot{}
	for i, tag := range []string{"18 0a1b2c3d", "18 ffffffff", "19 00000000", "17 ffffffff", "rubbish", ""} {
		owner := registry.Owner{Host: "h", PID: i, Epoch: 1}
		in := registry.Instance{Service: NodeService, Host: "h", Port: 1 + i, Owner: owner}
		if tag != "" {
			in.Tags = map[string]string{policyTag: tag}
		}
		snap.Instances = append(snap.Instances, in)
	}
	if _, news := l.heard("lan", snap, snap.Instances[0].Started); !news {
		t.Error("new announcements are no news")
	}
	if _, news := l.heard("lan", snap, snap.Instances[0].Started); news {
		t.Error("the same announcements are news")
	}
	for _, c := range []struct {
		number uint64
		hash   string
		want   int
	}{{0, "", 4}, {18, "0a1b2c3d55", 2}, {18, "ffffffff55", 1}, {19, "0000000055", 0}} {
		if got := l.aheadPolicy(c.number, c.hash, map[registry.Owner]bool{}, 9); len(got) != c.want {
			t.Errorf("%d processes are ahead of %d %s, want %d", len(got), c.number, c.hash, c.want)
		}
	}
	if got := l.aheadPolicy(0, "", map[registry.Owner]bool{snap.Instances[0].Owner: true}, 2); len(got) != 2 {
		t.Errorf("%d of three processes, want two", len(got))
	}
}
