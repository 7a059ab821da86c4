package console

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	eventPeriod = 2 * time.Second
	mostStreams = 50
)

// streams is the number of pages that are told of news.
var streams atomic.Int64

// events tells a page every two seconds that it may look again. A browser has few connections for all its pages, so
// pages that are not shown close theirs.
func (c *handler) events(w http.ResponseWriter, r *http.Request) {
	if streams.Add(1) > mostStreams {
		streams.Add(-1)
		http.Error(w, "too many pages are open; this one is not kept current", http.StatusServiceUnavailable)
		return
	}
	defer streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	tick := time.NewTicker(eventPeriod)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			if _, err := fmt.Fprint(w, "data: new\n\n"); err != nil || control.Flush() != nil {
				return
			}
		}
	}
}
