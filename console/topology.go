package console

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// graph is a drawing of services and calls, from the left to the right.
type graph struct {
	Width, Height int
	Nodes         []node
	Edges         []curve
}

type node struct {
	X, Y    int
	Name    string
	Link    string
	Dots    []dot
	DotX    int
	More    int // instances without a dot
	Class   string
	Figures string
}

type curve struct {
	Path, Arrow, Class string
	Bad, Slow          bool
	From, To           string
	Link               string
	Label              string // "": none
	LabelX, LabelY     int    // of its middle
	LabelWidth         int
}

const (
	nodeWidth, nodeHeight = 146, 58
	passHeight            = 14 // of an edge that passes a column
	gapX, gapY            = 90, 26
	graphWidth            = 1080 // of most graphs
	edgesNamed            = 24   // a graph with more has the rates of failing edges only
	margin                = 14
	dotsShown             = 6
	nodesDrawn            = 80 // a graph with more is a table only
)

// topologyLead names where failures begin: callees of failing edges that have no failing edge of their own.
func topologyLead(edges []edgeRow) phrase {
	failing := map[string]bool{}
	from := map[string]bool{}
	for _, e := range edges {
		if e.Failed >= badShare {
			failing[e.To], from[e.From] = true, true
		}
	}
	if begins := slowBegins(edges); len(failing) == 0 && len(begins) > 0 {
		return say("topology.slow", "services", strings.Join(begins, ", "))
	}
	if len(edges) == 0 {
		return say("topology.none")
	}
	if len(failing) == 0 {
		return say("topology.well", "n", len(edges))
	}
	var roots []string
	for _, name := range sorted(failing) {
		if !from[name] {
			roots = append(roots, name)
		}
	}
	if len(roots) == 0 {
		return say("topology.circle", "services", strings.Join(sorted(failing), ", "))
	}
	return say("topology.begins", "services", strings.Join(roots, ", "))
}

// slowBegins are the services where slow calls begin.
func slowBegins(edges []edgeRow) []string {
	var names []string
	for _, e := range edges {
		if e.Slow && !passesOn(e, edges) {
			names = append(names, e.To)
		}
	}
	return compact(names)
}

// layers gives each service a column: callers stand left of what they call. Calls in a circle are cut where they lead
// back to a service that is being looked at.
func layers(edges []edgeRow) map[string]int {
	calls := map[string][]string{}
	names := map[string]bool{}
	for _, e := range edges {
		names[e.From], names[e.To] = true, true
		if e.From != e.To {
			calls[e.From] = append(calls[e.From], e.To)
		}
	}
	for n := range calls {
		slices.Sort(calls[n])
	}
	var order []string
	state := map[string]int{} // 1: being looked at, 2: done
	back := map[[2]string]bool{}
	var visit func(string)
	visit = func(n string) {
		state[n] = 1
		for _, to := range calls[n] {
			switch state[to] {
			case 0:
				visit(to)
			case 1:
				back[[2]string{n, to}] = true
			}
		}
		state[n] = 2
		order = append(order, n)
	}
	called := map[string]bool{}
	for _, list := range calls {
		for _, to := range list {
			called[to] = true
		}
	}
	for _, roots := range []bool{true, false} { // from services that no other calls first
		for _, n := range sorted(names) {
			if state[n] == 0 && (!called[n] || !roots) {
				visit(n)
			}
		}
	}
	column := map[string]int{}
	for _, n := range slices.Backward(order) { // callers come before what they call
		for _, to := range calls[n] {
			if !back[[2]string{n, to}] {
				column[to] = max(column[to], column[n]+1)
			}
		}
		column[n] += 0
	}
	return column
}

// spot is a place in a column of the graph: a service, or where a longer edge passes through.
type spot struct {
	name    string // "" for an edge
	column  int
	height  int
	y       int // of its top
	near    []*spot
	in, out []*line // of a service, from the top
}

// line is an edge with the spots that it touches: its caller, those of the columns between, its callee.
type line struct {
	edge edgeRow
	by   []*spot
}

// drawn lays the graph out. The layout depends on the set of edges only, so that nothing jumps while figures change.
// An edge over several columns has a spot in each of those between, so that it passes no service behind.
func drawn(edges []edgeRow, rows map[string]serviceRow) *graph {
	column := layers(edges)
	columns := make([][]*spot, 1)
	at := map[string]*spot{}
	add := func(s *spot) *spot {
		for len(columns) <= s.column {
			columns = append(columns, nil)
		}
		columns[s.column] = append(columns[s.column], s)
		return s
	}
	for _, n := range sorted(column) {
		at[n] = add(&spot{name: n, column: column[n], height: nodeHeight})
	}
	edges = slices.Clone(edges)
	slices.SortFunc(edges, func(a, b edgeRow) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	var lines []*line
	for _, e := range edges {
		if e.From == e.To {
			continue
		}
		l := &line{edge: e, by: []*spot{at[e.From]}}
		for c := column[e.From] + 1; c < column[e.To]; c++ {
			l.by = append(l.by, add(&spot{column: c, height: passHeight}))
		}
		l.by = append(l.by, at[e.To])
		for i := 1; i < len(l.by); i++ {
			l.by[i-1].near, l.by[i].near = append(l.by[i-1].near, l.by[i]), append(l.by[i].near, l.by[i-1])
		}
		at[e.From].out, at[e.To].in = append(at[e.From].out, l), append(at[e.To].in, l)
		lines = append(lines, l)
	}
	tallest := arrange(columns)
	gap := gapX
	if n := len(columns); n > 1 {
		gap = min(max((graphWidth-2*margin-n*nodeWidth)/(n-1), gapX), 2*gapX)
	}
	x := func(s *spot) int { return margin + s.column*(nodeWidth+gap) }
	g := &graph{Width: max(2*margin+len(columns)*(nodeWidth+gap)-gap, graphWidth), Height: 2*margin + tallest}
	for _, name := range sorted(at) {
		g.Nodes = append(g.Nodes, boxed(name, x(at[name]), at[name].y, rows))
	}
	slices.SortFunc(g.Nodes, func(a, b node) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y)) })
	for _, s := range at {
		slices.SortStableFunc(s.out, func(a, b *line) int { return cmp.Compare(a.by[1].y, b.by[1].y) })
		slices.SortStableFunc(s.in, func(a, b *line) int {
			return cmp.Compare(a.by[len(a.by)-2].y, b.by[len(b.by)-2].y)
		})
	}
	for _, l := range lines {
		g.Edges = append(g.Edges, l.curve(x, len(lines) <= edgesNamed))
	}
	return g
}

// arrange orders the spots of each column and gives them their height, so that few edges cross. It returns the height
// of the tallest column.
func arrange(columns [][]*spot) (tallest int) {
	stack := func(list []*spot) int {
		y := 0
		for _, s := range list {
			s.y = y
			y += s.height + gapY
		}
		return y - gapY
	}
	for _, list := range columns {
		tallest = max(tallest, stack(list))
	}
	middle := func(s *spot) float64 { return float64(s.y) + float64(s.height)/2 }
	settle := func(list []*spot) {
		down := (tallest - stack(list)) / 2
		for _, s := range list {
			s.y += margin + down
		}
	}
	for _, list := range columns {
		settle(list)
	}
	for range 8 { // each spot goes near the middle of its neighbours
		for _, list := range columns {
			wish := map[*spot]float64{}
			for _, s := range list {
				for _, o := range s.near {
					wish[s] += middle(o) / float64(len(s.near))
				}
			}
			slices.SortStableFunc(list, func(a, b *spot) int { return cmp.Compare(wish[a], wish[b]) })
			settle(list)
		}
	}
	return tallest
}

// boxed is the box of a service.
func boxed(name string, x, y int, rows map[string]serviceRow) node {
	n := node{Name: name, X: x, Y: y}
	row, known := rows[name]
	if !known {
		return n
	}
	n.Link = "/services/" + name
	n.Dots = row.Dots[max(0, len(row.Dots)-dotsShown):] // the worst are last
	n.More = len(row.Dots) - len(n.Dots)
	n.DotX = n.X + nodeWidth - 12 - 9*len(n.Dots)
	n.Figures = figuresText(row.Rate, row.Failed)
	n.Class = map[worse]string{little: "warn-n", much: "bad-n"}[row.Worse]
	return n
}

// figuresText is calls a second, and the failed part of them when it is worth a look.
func figuresText(rate, failed float64) string {
	text := rateText(rate) + "/s"
	if failed >= 0.1 {
		text += " · " + percent(failed) + " %"
	}
	return text
}

// curve draws a line from the right side of a service to the left side of another one.
func (l *line) curve(x func(*spot) int, named bool) curve {
	from, to := l.by[0], l.by[len(l.by)-1]
	x1, y1 := x(from)+nodeWidth, sideOf(from, from.out, l)
	x2, y2 := x(to), sideOf(to, to.in, l)
	var path strings.Builder
	fmt.Fprintf(&path, "M%d %d", x1, y1)
	atX, atY := x1, y1
	bend := func(toX, toY int) {
		half := max((toX-atX)/2, 30)
		fmt.Fprintf(&path, "C%d %d %d %d %d %d", atX+half, atY, toX-half, toY, toX, toY)
		atX, atY = toX, toY
	}
	c := curve{LabelX: (x1 + x2) / 2, LabelY: (y1 + y2) / 2}
	for i, s := range l.by[1 : len(l.by)-1] {
		bend(x(s), s.y+s.height/2)
		if i == 0 {
			c.LabelX, c.LabelY = atX+nodeWidth/2, atY
		}
		atX += nodeWidth
		fmt.Fprintf(&path, "H%d", atX)
	}
	bend(x2-7, y2)
	c.Path, c.Arrow = path.String(), fmt.Sprintf("M%d %dl-9 -4.5v9z", x2, y2)
	c.Class = fmt.Sprintf("w%d", 1+min(3, int(math.Log10(max(l.edge.Rate, 1)))))
	c.Bad = l.edge.Failed >= badShare
	if named || c.Bad {
		c.Label = rateText(l.edge.Rate)
	}
	if c.Bad {
		c.Label += " · " + percent(l.edge.Failed) + " %"
	}
	if c.Slow = l.edge.Slow && !c.Bad; c.Slow {
		c.Label = rateText(l.edge.Rate) + " · " + millis(l.edge.P99) + " ms"
	}
	c.LabelWidth = 10 + 7*len([]rune(c.Label))
	c.From, c.To = l.edge.From, l.edge.To
	return c
}

// sideOf is the height at which a line leaves a service, or comes to it: lines share its side.
func sideOf(s *spot, of []*line, l *line) int {
	return s.y + s.height*(slices.Index(of, l)+1)/(len(of)+1)
}
