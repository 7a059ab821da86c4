package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// chosen are the pictures of the documentation, by their names there.
var chosen = map[string]string{
	"console-overview":    "trouble-overview-en-light-1440",
	"console-overview-zh": "trouble-overview-zh-light-1440",
	"console-topology":    "trouble-topology-en-dark-1440",
	"console-topology-zh": "trouble-topology-zh-dark-1440",
	"console-release":     "release-en-light-1440",
	"console-phone-zh":    "trouble-services-zh-dark-390",
}

const (
	mostBytes  = 150 << 10 // of a picture of the documentation
	mostHeight = 1100      // in pixels; the rest is cut off
)

// choose writes the chosen pictures of a directory into another one, with at most 256 colours.
func choose(from, to string) error {
	for name, source := range chosen {
		text, err := os.ReadFile(filepath.Join(from, source+".png"))
		if err != nil {
			return err
		}
		full, err := png.Decode(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		size := full.Bounds()
		size.Max.Y = min(size.Max.Y, mostHeight)
		small := image.NewPaletted(size, paletteOf(full, size))
		draw.Draw(small, size, full, size.Min, draw.Src)
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, small); err != nil {
			return err
		}
		if b.Len() > mostBytes {
			return fmt.Errorf("%s has %d KiB, and may have %d", source, b.Len()>>10, mostBytes>>10)
		}
		if err := os.WriteFile(filepath.Join(to, name+".png"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// paletteOf are 256 colours of a part of a picture: of those that look alike the most frequent one, and of these the
// most frequent and the most colourful, since a small green dot says more than one more grey.
func paletteOf(full image.Image, part image.Rectangle) color.Palette {
	count := map[color.RGBA]int{}
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			count[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++
		}
	}
	alike := map[color.RGBA]color.RGBA{}
	for c, n := range count {
		near := color.RGBA{R: c.R >> 3, G: c.G >> 3, B: c.B >> 3}
		if best, known := alike[near]; !known || n > count[best] || n == count[best] && less(c, best) {
			alike[near] = c
		}
	}
	weight := func(c color.RGBA) int { return count[c] * (16 + int(max(c.R, c.G, c.B)-min(c.R, c.G, c.B))) }
	all := slices.SortedFunc(maps.Values(alike), func(a, b color.RGBA) int {
		if by := cmp.Compare(weight(b), weight(a)); by != 0 {
			return by
		}
		return cmp.Or(cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var list color.Palette
	for _, c := range all[:min(len(all), 256)] {
		list = append(list, c)
	}
	return list
}

func less(a, b color.RGBA) bool {
	return cmp.Or(cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B)) < 0
}
