package chart

import (
	"fmt"
	"strings"
)

// Point is one measured value.
type Point struct{ X, Y float64 }

// Curve is a series of points from left to right.
type Curve struct {
	Name   string
	Points []Point
}

// Lines is a picture of curves over one pair of axes.
type Lines struct {
	Title, Sub     string // what is shown, and under which conditions
	XLabel, YLabel string // with units
	LogX, LogY     bool
	Curves         []Curve
	Goal           float64 // a dashed line at this height; 0: none
}

// SVG draws the picture.
func (l Lines) SVG() []byte {
	c := newCanvas(l.Title, l.Sub)
	var xs, ys []float64
	names := make([]string, len(l.Curves))
	for i, curve := range l.Curves {
		names[i] = curve.Name
		for _, p := range curve.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	if l.Goal > 0 {
		ys = append(ys, l.Goal)
	}
	x, y := newAxis(xs, l.LogX), newAxis(ys, l.LogY)
	place := func(p Point) (float64, float64) {
		return left + x.at(p.X)*plotWidth, top + (1-y.at(p.Y))*plotHeight
	}
	for _, t := range x.ticks {
		at, _ := place(Point{t, y.high})
		c.line(at, top, at, top+plotHeight, lineColor)
		c.text(at, top+plotHeight+16, 11, "middle", "", number(t))
	}
	c.rows(y, l.YLabel)
	c.text(left+plotWidth/2, height-12, 12, "middle", "", l.XLabel)
	if l.Goal > 0 {
		_, at := place(Point{x.high, l.Goal})
		fmt.Fprintf(c, `<path d="M%d %.1f H%d" stroke="%s" stroke-dasharray="5 4" fill="none"/>`+"\n", left, at,
			left+plotWidth, textColor)
		c.text(left+4, at-4, 11, "start", "", "goal: "+number(l.Goal))
	}
	for i, curve := range l.Curves {
		var path strings.Builder
		for k, p := range curve.Points {
			px, py := place(p)
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(k, 1)], px, py)
			fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %s</title></circle>`+"\n", px, py,
				color(i), curve.Name, number(p.Y))
		}
		fmt.Fprintf(c, `<path d="%s" stroke="%s" stroke-width="2" fill="none"/>`+"\n", path.String(), color(i))
	}
	c.legend(names)
	return c.end()
}

// rows draws the lines of the upright axis and names it.
func (c *canvas) rows(y axis, label string) {
	for _, t := range y.ticks {
		at := top + (1-y.at(t))*plotHeight
		c.line(left, at, left+plotWidth, at, lineColor)
		c.text(left-6, at+4, 11, "end", "", number(t))
	}
	c.text(16, top+plotHeight/2, 12, "middle", fmt.Sprintf(`transform="rotate(-90 16 %d)"`, top+plotHeight/2), label)
}
