package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestPicturesAreXML(t *testing.T) {
	for name, svg := range map[string][]byte{
		"lines": Lines{Title: "a < b & c", LogX: true, LogY: true, Goal: 8,
			Curves: []Curve{{"one", []Point{{100, 0.02}, {10_000, 130}}}, {"empty", nil}}}.SVG(),
		"bars": Bars{Title: "calls", Series: []string{"x", "y"},
			Groups: []Group{{"1 caller", []float64{1, 2}}, {"none", nil}}}.SVG(),
		"empty": Lines{}.SVG(),
	} {
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
			t.Errorf("%s has places that are no numbers", name)
		}
	}
}

func TestAxis(t *testing.T) {
	if a := newAxis([]float64{0.03, 140}, true); !slices.Equal(a.ticks, []float64{0.01, 0.1, 1, 10, 100, 1000}) &&
		len(a.ticks) != 6 {
		t.Errorf("ticks %v", a.ticks)
	}
	a := newAxis([]float64{3, 27_000}, false)
	if a.at(0) != 0 || a.high < 27_000 || a.high > 30_000 {
		t.Errorf("axis %+v", a)
	}
	for v, want := range map[float64]string{0.05: "0.05", 10_000: "10,000", 1234: "1234", 12.5: "12.5",
		1_234_567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}
