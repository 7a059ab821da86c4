package control

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/wire"
)

// TestConditionOf: the clock of a process is judged in the middle of the question, and what it tells is bounded.
func TestConditionOf(t *testing.T) {
	asked := time.Now()
	came := asked.Add(2 * time.Second)
	negative, lost := int64(-5), "no\x1b[2J route"
	told := &wire.Condition{ClockUs: asked.Add(8 * time.Second).UnixMicro(), Memory: &negative,
		Sources: []*wire.SourceState{nil, {Name: "database", Lost: &lost},
			{Name: "lan", Others: -1, HeardMs: &negative}, {Name: "x"}, {Name: "y"}, {Name: "z"}}}
	c := conditionOf("ops-1/1/1", told, asked, came)
	if c.Clock.Round(time.Millisecond) != 7*time.Second || c.Doubt != time.Second || c.Memory != 0 {
		t.Errorf("%+v", c)
	}
	if len(c.Sources) != mostSources || c.Sources[0].Lost == lost || c.Sources[1].Others != 0 ||
		c.Sources[1].Heard != 0 {
		t.Errorf("%+v", c.Sources)
	}
}
