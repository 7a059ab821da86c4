package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// The picture's size and the place of the plot in it.
const (
	width, height                = 760, 420
	left, right, top, bottom     = 78, 24, 64, 52
	plotWidth, plotHeight        = width - left - right, height - top - bottom
	textColor, lineColor, family = "#24292f", "#d0d7de", "font-family=\"Helvetica,Arial,sans-serif\""
)

// colors tell series apart, also for readers that see red and green alike.
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666"}

func color(i int) string { return colors[i%len(colors)] }

// canvas collects the elements of a picture.
type canvas struct{ bytes.Buffer }

func newCanvas(title, sub string) *canvas {
	c := &canvas{}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" %s>`+"\n", width,
		height, width, height, family)
	fmt.Fprintf(c, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	c.text(left, 22, 15, "start", "", title)
	c.text(left, 40, 11, "start", "", sub)
	return c
}

func (c *canvas) text(x, y float64, size int, anchor, more, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" fill="%s" %s>`, x, y, size, anchor,
		textColor, more)
	_ = xml.EscapeText(c, []byte(s)) // a buffer takes everything
	c.WriteString("</text>\n")
}

func (c *canvas) line(x1, y1, x2, y2 float64, color string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, color)
}

// legend names the series above the plot, in one line if they fit.
func (c *canvas) legend(names []string) {
	const gap, letter = 30.0, 6.1
	wide := 0.0
	for _, name := range names {
		wide += gap + letter*float64(len(name))
	}
	shrink := min(1, plotWidth/max(wide, 1))
	x := float64(left)
	for i, name := range names {
		fmt.Fprintf(c, `<rect x="%.1f" y="%d" width="10" height="10" fill="%s"/>`+"\n", x, top-16, color(i))
		c.text(x+14, top-7, 11, "start", "", name)
		x += shrink * (gap + letter*float64(len(name)))
	}
}

func (c *canvas) end() []byte {
	c.WriteString("</svg>\n")
	return c.Bytes()
}

// Write puts a picture into a file, and makes its directory.
func Write(path string, svg []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	if err := os.WriteFile(path, svg, 0o644); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	return nil
}

// axis maps values to places along a length.
type axis struct {
	low, high float64
	log       bool
	ticks     []float64
}

// newAxis covers the values: whole decades when it is logarithmic, else from 0
// to a round number.
func newAxis(values []float64, log bool) axis {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		high = max(high, v)
		if v > 0 {
			low = min(low, v)
		}
	}
	if high <= 0 {
		low, high = 1, 10
	}
	if !log {
		step := math.Pow(10, math.Floor(math.Log10(high)))
		for _, f := range []float64{0.1, 0.2, 0.25, 0.5, 1, 2} {
			if high/(step*f) <= 8 {
				step *= f
				break
			}
		}
		a := axis{high: math.Ceil(high/step-1e-9) * step}
		for i := 0; float64(i)*step <= a.high*(1+1e-9); i++ {
			a.ticks = append(a.ticks, float64(i)*step)
		}
		return a
	}
	a := axis{low: math.Pow(10, math.Floor(math.Log10(low)+1e-9)), high: math.Pow(10, math.Ceil(math.Log10(high)-1e-9)),
		log: true}
	if a.low == a.high {
		a.high *= 10
	}
	for t := a.low; t <= a.high*1.001; t *= 10 {
		a.ticks = append(a.ticks, t)
	}
	return a
}

// at is the place of a value, 0 to 1. What a logarithmic axis can't show is at 0.
func (a axis) at(v float64) float64 {
	if !a.log {
		return (v - a.low) / (a.high - a.low)
	}
	if v <= a.low {
		return 0
	}
	return math.Log(v/a.low) / math.Log(a.high/a.low)
}

// number is a value as people write it: 0.02, 1.5, 10,000.
func number(v float64) string {
	if v != 0 && math.Abs(v) < 1 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	s := strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
	if v >= 10_000 {
		s = strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
	}
	return s
}
