package run

import (
	"testing"
	"time"
)

func TestSignalWakesOnce(t *testing.T) {
	s := NewSignal()
	for range 3 {
		s.Set()
	}
	<-s
	select {
	case <-s:
		t.Error("three calls of Set woke the receiver twice")
	default:
	}
	s.Set()
	<-s
}

func TestEarliest(t *testing.T) {
	var never time.Time
	early := time.Unix(1, 0)
	late := time.Unix(2, 0)
	for _, c := range []struct {
		times []time.Time
		want  time.Time
	}{
		{nil, never},
		{[]time.Time{never, never}, never},
		{[]time.Time{never, late}, late},
		{[]time.Time{late, never, early}, early},
	} {
		if got := Earliest(c.times...); !got.Equal(c.want) {
			t.Errorf("Earliest(%v) is %v, want %v", c.times, got, c.want)
		}
	}
}
