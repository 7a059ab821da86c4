package console

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
)

// topologyPage answers: which service calls which, and where does a failure begin?
type topologyPage struct {
	Lead   phrase    `json:"-"`
	Edges  []edgeRow `json:"edges"`
	Shown  []edgeRow `json:"-"`
	Pager  pager     `json:"-"`
	Graph  *graph    `json:"-"` // nil: too many to draw
	Chosen *edgeRow  `json:"-"`
	Nodes  int       `json:"services"`
}

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
	Link               string
	Label              string
	LabelX, LabelY     int
}

const (
	nodeWidth, nodeHeight = 146, 58
	gapX, gapY            = 90, 26
	margin                = 14
	dotsShown             = 6
	nodesDrawn            = 80 // a graph with more is a table only
)

func (s *snapshot) topologyPage(r *http.Request) (any, error) {
	p := topologyPage{Edges: s.edges()}
	rows := map[string]serviceRow{}
	for _, row := range s.services() {
		rows[row.Name] = row
	}
	p.Nodes = len(rows)
	p.Lead = topologyLead(p.Edges)
	names := map[string]bool{}
	for _, e := range p.Edges {
		names[e.From], names[e.To] = true, true
	}
	if len(names) > 0 && len(names) <= nodesDrawn {
		p.Graph = drawn(p.Edges, rows)
	}
	q := r.URL.Query()
	for i, e := range p.Edges {
		if e.From == q.Get("from") && e.To == q.Get("to") {
			p.Chosen = &p.Edges[i]
		}
	}
	p.Shown, p.Pager = paged(p.Edges, r)
	return p, nil
}

// topologyLead names where failures begin: callees of failing edges that have no failing edge of their own.
func topologyLead(edges []edgeRow) phrase {
	failing := map[string]bool{}
	from := map[string]bool{}
	for _, e := range edges {
		if e.Failed >= badShare {
			failing[e.To], from[e.From] = true, true
		}
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

// drawn lays the graph out. The layout depends on the set of edges only, so that nothing jumps while figures change.
func drawn(edges []edgeRow, rows map[string]serviceRow) *graph {
	column := layers(edges)
	columns := make([][]string, 1)
	for _, n := range sorted(column) {
		for len(columns) <= column[n] {
			columns = append(columns, nil)
		}
		columns[column[n]] = append(columns[column[n]], n)
	}
	near := map[string][]string{}
	for _, e := range edges {
		near[e.From], near[e.To] = append(near[e.From], e.To), append(near[e.To], e.From)
	}
	place := map[string]float64{}
	settle := func(list []string) {
		for i, n := range list {
			place[n] = float64(i) - float64(len(list)-1)/2
		}
	}
	for _, list := range columns {
		settle(list)
	}
	for range 8 { // each service goes near the middle of its neighbours: fewer edges cross
		for _, list := range columns {
			middle := map[string]float64{}
			for _, n := range list {
				sum := 0.0
				for _, o := range near[n] {
					sum += place[o]
				}
				middle[n] = sum / float64(max(len(near[n]), 1))
			}
			slices.SortStableFunc(list, func(a, b string) int {
				return cmp.Or(cmp.Compare(middle[a], middle[b]), cmp.Compare(a, b))
			})
			settle(list)
		}
	}
	tallest := 0
	for _, list := range columns {
		tallest = max(tallest, len(list))
	}
	g := &graph{Width: 2*margin + len(columns)*nodeWidth + (len(columns)-1)*gapX,
		Height: 2*margin + tallest*nodeHeight + (tallest-1)*gapY}
	at := map[string]node{}
	for i, list := range columns {
		for j, name := range list {
			n := node{Name: name, X: margin + i*(nodeWidth+gapX)}
			n.Y = margin + j*(nodeHeight+gapY) + (tallest-len(list))*(nodeHeight+gapY)/2
			if row, ok := rows[name]; ok {
				n.Link = "/services/" + name
				n.Dots = row.Dots[:min(len(row.Dots), dotsShown)]
				if len(row.Dots) > dotsShown { // the worst are last
					n.Dots = row.Dots[len(row.Dots)-dotsShown:]
					n.More = len(row.Dots) - dotsShown
				}
				n.DotX = n.X + nodeWidth - 12 - 9*len(n.Dots)
				n.Figures = rateText(row.Rate) + "/s"
				if row.Failed >= 0.1 {
					n.Figures += " · " + percent(row.Failed) + " %"
				}
				n.Class = map[worse]string{little: "warn-n", much: "bad-n"}[row.Worse]
			}
			at[name] = n
			g.Nodes = append(g.Nodes, n)
		}
	}
	for _, e := range edges {
		if e.From != e.To {
			g.Edges = append(g.Edges, curved(e, at[e.From], at[e.To]))
		}
	}
	return g
}

// curved draws an edge from the right side of a node to the left side of another one.
func curved(e edgeRow, from, to node) curve {
	x1, y1 := from.X+nodeWidth, from.Y+nodeHeight/2
	x2, y2 := to.X-7, to.Y+nodeHeight/2
	bend := max((x2-x1)/2, 30)
	c := curve{Path: fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2),
		Arrow: fmt.Sprintf("M%d %dl-9 -4.5v9z", x2+7, y2), LabelX: (x1 + x2) / 2, LabelY: (y1+y2)/2 - 5}
	width := 1 + min(3, int(math.Log10(max(e.Rate, 1))))
	c.Class = fmt.Sprintf("e w%d", width)
	if e.Failed >= badShare {
		c.Class += " bad-e"
		c.Label = percent(e.Failed) + " %"
	}
	c.Link = "/topology?from=" + e.From + "&to=" + e.To
	return c
}
