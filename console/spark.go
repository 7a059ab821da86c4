package console

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// series are the values of one figure of the last hour.
func series(points []point, of string) []float64 {
	list := make([]float64, len(points))
	for i, p := range points {
		list[i] = map[string]float64{"calls": p.Calls, "failed": 100 * p.Failed, "p99": ms(p.P99),
			"instances": float64(p.Instances)}[of]
	}
	return list
}

// spark draws values as a line; the newest is at the right.
func spark(values []float64, width, height int, class, label string) template.HTML {
	var b strings.Builder
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`,
		width, height, template.HTMLEscapeString(label))
	fmt.Fprintf(&b, `<path class="sp-b" d="M0 %d.5H%d"/><polyline class="sp-l %s" points="`, height-1, width, class)
	for i, v := range values {
		x := float64(width) * float64(60-len(values)+i) / 59
		y := float64(height) - 2
		if most > 0 {
			y -= v / most * float64(height-6)
		}
		fmt.Fprintf(&b, "%.0f,%.1f ", x, y)
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String())
}

// trend draws the calls of the last 5 minutes as a small line; the table beside it has the figures.
func trend(calls []int64) template.HTML {
	if len(calls) < 2 {
		return ""
	}
	most := slices.Max(calls)
	var b strings.Builder
	b.WriteString(`<svg class="spark-s" viewBox="0 0 84 20" preserveAspectRatio="none" aria-hidden="true">` +
		`<path class="sp-b" d="M0 19.5H84"/><polyline class="sp-l" points="`)
	for i, n := range calls {
		y := 18.0
		if most > 0 {
			y -= 15 * float64(n) / float64(most)
		}
		fmt.Fprintf(&b, "%d,%.0f ", 84*i/(len(calls)-1), y)
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String())
}
