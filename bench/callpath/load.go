package callpath

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// result is what a client process measured.
type result struct {
	Calls    int64
	Window   time.Duration
	P50, P99 time.Duration
	Usage    usage
}

// Load is the client process. It warms up, prints "warm", waits for a line,
// measures, and prints a result as JSON.
func Load(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("call-client", flag.ContinueOnError)
	name := flags.String("peer", "", "peer to call")
	addr := flags.String("addr", "", "address of the server")
	workers := flags.Int("c", 1, "concurrent callers")
	size := flags.Int("size", 1024, "bytes of the message's fields")
	window := flags.Duration("for", time.Second, "length of the measurement")
	warm := flags.Duration("warm", 700*time.Millisecond, "length of the warm-up")
	profiles := flags.String("profile", "", "directory for profiles of this process")
	slow := flags.Bool("slow", false, "let one call in a hundred be slow")
	flags.StringVar(&certificates, "certificates", "", "directory of the certificate, for peers with TLS")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := peerNamed(*name)
	if err != nil {
		return err
	}
	setPayload(*size)
	worker, err := p.dial(ctx, *addr)
	if err != nil {
		return err
	}
	calls := make([]call, *workers)
	for i := range calls {
		if calls[i], err = worker(); err != nil {
			return err
		}
	}
	if _, err := closedLoop(ctx, calls, *slow, *warm); err != nil {
		return err
	}
	fmt.Println("warm")
	if !bufio.NewScanner(os.Stdin).Scan() {
		return fmt.Errorf("the parent is gone")
	}
	done, err := profile(*profiles, *name+".client")
	if err != nil {
		return err
	}
	r, err := closedLoop(ctx, calls, *slow, *window)
	if err != nil {
		return err
	}
	if err := done(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// slowEvery is how often a mixed load makes a slow call.
const slowEvery = 100

// closedLoop keeps one call of each worker in flight for the window. The
// first error ends it. Slow calls are not counted.
func closedLoop(ctx context.Context, calls []call, slow bool, window time.Duration) (result, error) {
	var (
		wg     sync.WaitGroup
		end    atomic.Bool
		failed = make(chan error, len(calls))
		hists  = make([]histogram, len(calls))
	)
	before, start := usageNow(), time.Now()
	timer := time.AfterFunc(window, func() { end.Store(true) })
	defer timer.Stop()
	for w, do := range calls {
		wg.Go(func() {
			for id := int64(w) << 40; !end.Load(); id++ {
				if slow && (id+int64(w))%slowEvery == 0 { // not all workers at once
					if err := do(ctx, -1-id); err != nil {
						failed <- err
						end.Store(true)
						return
					}
					continue
				}
				begin := time.Now()
				if err := do(ctx, id); err != nil {
					failed <- err
					end.Store(true)
					return
				}
				hists[w].add(time.Since(begin))
			}
		})
	}
	wg.Wait()
	took, used := time.Since(start), usageNow().since(before)
	select {
	case err := <-failed:
		return result{}, err
	default:
	}
	var sum histogram
	for w := range hists {
		sum.merge(&hists[w])
	}
	return result{sum.count(), took, sum.quantile(0.50), sum.quantile(0.99), used}, nil
}
