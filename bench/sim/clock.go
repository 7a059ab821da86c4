package sim

import (
	"container/heap"
	"time"
)

// Unit is the unit of time in the literature's tables.
const Unit = time.Millisecond

// Clock runs events in the order of their times. Its zero value is at 0.
type Clock struct {
	now   time.Duration
	queue queue
	order int
}

// Now is the time of the event that runs.
func (c *Clock) Now() time.Duration { return c.now }

// At runs do at a time; at once after the running event when that is past.
// Events of one time run in the order in which they were made.
func (c *Clock) At(when time.Duration, do func()) {
	c.order++
	heap.Push(&c.queue, event{max(when, c.now), c.order, do})
}

// After runs do when a span of time has passed.
func (c *Clock) After(wait time.Duration, do func()) { c.At(c.now+wait, do) }

// Run runs events until none is left that is due before the end, or until
// stop, asked after each, says so.
func (c *Clock) Run(end time.Duration, stop func() bool) {
	for len(c.queue) > 0 && c.queue[0].at <= end && !stop() {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		e.do()
	}
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}
