package console

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	eventPeriod = 2 * time.Second
	eventShare  = eventPeriod / 10 // between two pages that look again: of more than ten pages each waits longer
	mostStreams = 50
)

// eventPause is the time after which a page may look again, when so many are open.
func eventPause(open int64) time.Duration { return max(eventPeriod, time.Duration(open)*eventShare) }

// streams is the number of pages that are told of news.
var streams atomic.Int64

// events tells a page every two seconds, or later when many are open, that it may look again. A browser has few
// connections for all its pages, so pages that are not shown close theirs.
func (c *handler) events(w http.ResponseWriter, r *http.Request) {
	if streams.Add(1) > mostStreams {
		streams.Add(-1)
		http.Error(w, "too many pages are open; this one is not kept current", http.StatusServiceUnavailable)
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
