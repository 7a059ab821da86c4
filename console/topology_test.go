package console

import (
	"regexp"
	"strconv"
	"testing"
)

// TestEdgesPassNoService: an edge over several columns goes beside the services between.
func TestEdgesPassNoService(t *testing.T) {
	g := drawn([]edgeRow{{From: "", To: "portal"}, {From: "portal", To: "auth"}, {From: "portal", To: "proc"},
		{From: "proc", To: "auth"}, {From: "proc", To: "db"}, {From: "portal", To: "db"}, {From: "", To: "db"}}, nil)
	passes := 0
	for _, e := range g.Edges {
		for _, m := range regexp.MustCompile(`(\d+) (\d+)H(\d+)`).FindAllStringSubmatch(e.Path, -1) {
			left, _ := strconv.Atoi(m[1])
			y, _ := strconv.Atoi(m[2])
			right, _ := strconv.Atoi(m[3])
			passes++
			for _, n := range g.Nodes {
				if n.X < right && left < n.X+nodeWidth && n.Y <= y && y <= n.Y+nodeHeight {
					t.Errorf("the edge %s passes behind %s, at %d,%d", e.Link, n.Name, n.X, n.Y)
				}
			}
		}
	}
	if passes != 4 {
		t.Errorf("%d columns are passed, want 4", passes)
	}
	for _, n := range g.Nodes {
		if n.Y < margin || n.Y+nodeHeight > g.Height-margin || n.X+nodeWidth > g.Width-margin {
			t.Errorf("%s is at %d,%d in a drawing of %d by %d", n.Name, n.X, n.Y, g.Width, g.Height)
		}
	}
}
