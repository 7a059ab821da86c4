package console

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	eventPeriod = 2 * time.Second
	eventShare  = eventPeriod / 10 // between two pages that look again; with more than ten pages each one waits longer
	mostStreams = 50
	nameStreams = 20 // of one name, so that its sessions do not keep those of others out
)

// eventPause is the time after which a page may look again, by the number of open pages.
func eventPause(open int64) time.Duration { return max(eventPeriod, time.Duration(open)*eventShare) }

// streams is the number of pages that are told of news.
var streams atomic.Int64

// openStreams are those of a console by the name that has signed in.
type openStreams struct {
	mu sync.Mutex
	of map[string]int
}

// begin reports whether one more may be open of a name, until end is called.
func (o *openStreams) begin(name string) (end func(), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[name] >= nameStreams {
		return nil, false
	}
	if o.of == nil {
		o.of = map[string]int{}
	}
	o.of[name]++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.of[name]--; o.of[name] == 0 {
			delete(o.of, name)
		}
	}, true
}

// events tells a page every two seconds, or later when many are open, that it may look again. A browser has few
// connections for all its pages, so pages that are not shown close theirs.
func (c *handler) events(w http.ResponseWriter, r *http.Request) {
	const full = "too many pages are open; this one is not kept current"
	end, ok := c.streams.begin(actorOf(r).Name)
	if !ok {
		deny(w, r, full, http.StatusServiceUnavailable)
		return
	}
	defer end()
	if streams.Add(1) > mostStreams {
		streams.Add(-1)
		deny(w, r, full, http.StatusServiceUnavailable)
		return
	}
	defer streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	pause := time.NewTimer(eventPause(streams.Load()))
	defer pause.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-pause.C:
			pause.Reset(eventPause(streams.Load()))
			if _, err := fmt.Fprint(w, "data: new\n\n"); err != nil || control.Flush() != nil {
				return
			}
		}
	}
}
