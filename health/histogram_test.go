package health

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/chance"
)

func TestPlaceAndBoundsAreInverse(t *testing.T) {
	rand := chance.Rand(t, 1)
	check := func(d time.Duration) {
		octave, step := place(d)
		low, width := bounds(octave, step)
		if d < low || d >= low+width {
			t.Fatalf("%v is in octave %d step %d, which holds [%v, %v)", d, octave, step, low, low+width)
		}
	}
	for bit := range lastBits {
		for _, off := range []time.Duration{-1, 0, 1} {
			check(max(0, time.Duration(1)<<bit+off))
		}
	}
	for range 100_000 {
		check(time.Duration(rand.Int64N(int64(longest) >> rand.IntN(lastBits))))
	}
	for _, d := range []time.Duration{-time.Second, time.Hour, math.MaxInt64, math.MinInt64} {
		if o, s := place(d); o < 0 || o >= octaves || s < 0 || s >= steps {
			t.Errorf("place(%v) = %d, %d", d, o, s)
		}
	}
}

func TestQuantileIsWithinTwoPercent(t *testing.T) {
	rand := chance.Rand(t, 2)
	for _, shape := range []struct {
		name string
		draw func() time.Duration
	}{
		{"even", func() time.Duration { return time.Microsecond + time.Duration(rand.Int64N(int64(time.Second))) }},
		{"long tail", func() time.Duration {
			return 2*time.Microsecond + time.Duration(rand.ExpFloat64()*float64(time.Millisecond))
		}},
		{"one value", func() time.Duration { return 777 * time.Microsecond }},
	} {
		t.Run(shape.name, func(t *testing.T) {
			var cell Cell
			var all []time.Duration
			for range 20_000 {
				d := shape.draw()
				all = append(all, d)
				cell.Record(OK, d)
			}
			slices.Sort(all)
			c := cell.take()
			row := c.row(Key{}, time.Time{}, time.Time{})
			near := func(name string, got, want time.Duration) {
				if e := math.Abs(float64(got-want)) / float64(want); e > 0.02 {
					t.Errorf("%s is %v, true value %v: %.1f %% off", name, got, want, e*100)
				}
			}
			near("p50", row.P50, all[len(all)/2-1])
			near("p99", row.P99, all[len(all)*99/100-1])
			if row.Max != all[len(all)-1] {
				t.Errorf("max is %v, want %v", row.Max, all[len(all)-1])
			}
			if n := c.hist.within(longest); n != int64(len(all)) {
				t.Errorf("within everything: %d of %d", n, len(all))
			}
		})
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	r := NewRecorder(Config{})
	k := Key{Side: Client, Service: "auth", Method: "GetToken", Peer: "10.0.0.5:7000"}
	c := r.Cell(k)
	c.Record(OK, time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() { c.Record(OK, time.Millisecond) }); n != 0 {
		t.Errorf("Record allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Cell(k) }); n != 0 {
		t.Errorf("Cell of a known key allocates %v times", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	c := NewRecorder(Config{}).Cell(Key{Side: Client, Service: "auth", Method: "GetToken"})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Record(OK, time.Duration(i&0xfffff))
	}
}

func BenchmarkRecordParallel(b *testing.B) {
	c := NewRecorder(Config{}).Cell(Key{Side: Client, Service: "auth", Method: "GetToken"})
	b.RunParallel(func(pb *testing.PB) {
		for d := time.Duration(0); pb.Next(); d += 997 {
			c.Record(OK, d&0xfffff)
		}
	})
}

func BenchmarkCell(b *testing.B) {
	r := NewRecorder(Config{})
	k := Key{Side: Client, Service: "auth", Method: "GetToken", Peer: "10.0.0.5:7000"}
	r.Cell(k)
	b.ReportAllocs()
	for b.Loop() {
		r.Cell(k)
	}
}
