package chart

import "fmt"

// Group is a bar for each series side by side, under one name.
type Group struct {
	Name   string
	Values []float64 // in the order of Bars.Series; 0 draws nothing
}

// Bars is a picture of groups of bars.
type Bars struct {
	Title, Sub string
	YLabel     string
	LogY       bool
	Series     []string
	Groups     []Group
}

// SVG draws the picture.
func (b Bars) SVG() []byte {
	c := newCanvas(b.Title, b.Sub)
	var values []float64
	for _, g := range b.Groups {
		values = append(values, g.Values...)
	}
	y := newAxis(values, b.LogY)
	c.rows(y, b.YLabel)
	step := float64(plotWidth) / float64(max(len(b.Groups), 1))
	for i, g := range b.Groups {
		bar := step * 0.84 / float64(max(len(g.Values), 1))
		for k, v := range g.Values {
			x, h := left+step*(float64(i)+0.08)+bar*float64(k), y.at(v)*plotHeight
			fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`+"\n",
				x, top+plotHeight-h, bar*0.9, h, color(k), number(v))
			if v > 0 && bar > 22 {
				c.text(x+bar*0.45, top+plotHeight-h-3, 9, "middle", "", number(v))
			}
		}
		c.text(left+step*(float64(i)+0.5), top+plotHeight+16, 11, "middle", "", g.Name)
	}
	c.legend(b.Series)
	return c.end()
}
