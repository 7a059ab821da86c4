//go:build unix

package console

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// looking is a site that is looked at anew every two seconds, as an open page lets the console do.
type looking struct {
	mu  sync.Mutex
	s   *snapshot
	end time.Time
}

func (l *looking) snapshot(context.Context) *snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.After(l.end) {
		fresh := *l.s
		fresh.rows, fresh.lines = nil, nil
		fresh.lines = fresh.edges()
		fresh.rows = fresh.services()
		fresh.Findings = fresh.find()
		l.s, l.end = &fresh, now.Add(watchedPeriod)
	}
	return l.s
}

// openPages is how many pages are open at a time, openTime how long.
const (
	openPages = mostStreams
	openTime  = 20 * time.Second
)

// BenchmarkOpenPages keeps 50 pages of a large site open, by HTTP, as browsers do: each listens to the stream of news
// and then loads its page again. It reports the processor time of console and browsers' side together. What a look asks
// of the processes of a site is not in it.
//
//	go test ./console -run '^$' -bench OpenPages -benchtime 1x
func BenchmarkOpenPages(b *testing.B) {
	h := signedInAs(b, &looking{s: large()}, openPages/nameStreams+1)
	server := httptest.NewServer(h)
	defer server.Close()
	var loaded, size, took atomic.Int64
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), openTime)
		before := processorTime()
		begun := time.Now()
		var all sync.WaitGroup
		for i := range openPages {
			all.Go(func() {
				page := pages[i%len(pages)]
				path := filled(strings.ReplaceAll(page.Link(), "{service}", "service-007"))
				name := fmt.Sprint(i % (openPages/nameStreams + 1))
				news := load(ctx, b, server.URL+"/events", name)
				if news == nil {
					return
				}
				defer news.Body.Close()
				for lines := bufio.NewScanner(news.Body); lines.Scan(); {
					if !strings.HasPrefix(lines.Text(), "data:") {
						continue
					}
					at := time.Now()
					page := load(ctx, b, server.URL+path, name)
					if page == nil {
						return
					}
					n, _ := io.Copy(io.Discard, page.Body)
					page.Body.Close()
					loaded.Add(1)
					size.Add(n)
					took.Add(int64(time.Since(at)))
				}
			})
		}
		all.Wait()
		cancel()
		b.ReportMetric(100*(processorTime()-before).Seconds()/time.Since(begun).Seconds(), "%core")
	}
	n := float64(max(loaded.Load(), 1))
	b.ReportMetric(float64(size.Load())/1024/n, "KiB/page")
	b.ReportMetric(float64(took.Load())/float64(time.Millisecond)/n, "ms/page")
	b.ReportMetric(n/float64(b.N)/openTime.Seconds(), "pages/s")
}

// load is the answer to a request of a browser, nil after ctx has ended.
func load(ctx context.Context, b *testing.B, address, name string) *http.Response {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		b.Error(err)
		return nil
	}
	r.Header.Set("Skerry-Test-Name", name)
	w, err := http.DefaultClient.Do(r)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil || w.StatusCode != http.StatusOK {
		b.Errorf("%s: %v, %v", address, w, err)
		return nil
	}
	return w
}

// signedInAs is a console in which n browsers have signed in; a header chooses one.
func signedInAs(b *testing.B, of site, n int) http.Handler {
	c := serve(of, Config{Logger: slog.New(slog.DiscardHandler)})
	cookies := map[string]*http.Cookie{}
	for i := range n {
		name := fmt.Sprint(i)
		w := enter(c, c.doors.link(grant{name: "operator-" + name, role: roleAdmin}))
		if len(w.Result().Cookies()) != 1 {
			b.Fatalf("signing in: status %d", w.Code)
		}
		cookies[name] = w.Result().Cookies()[0]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "127.0.0.1:7700" // which is in the name of the cookie
		r.AddCookie(cookies[r.Header.Get("Skerry-Test-Name")])
		c.ServeHTTP(w, r)
	})
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
