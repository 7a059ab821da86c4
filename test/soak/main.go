//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if text := os.Getenv(envPart); text != "" {
		play(text)
		return
	}
	seed := flag.Uint64("seed", uint64(time.Now().Unix()), "what the schedule of faults is drawn from")
	length := flag.Duration("for", 30*time.Minute, "how long faults go on")
	list := flag.Bool("list", false, "print the schedule and end")
	keep := flag.Bool("keep", false, "keep the logs of the processes, and say where")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "soak: %q: no arguments are taken, only flags\n", flag.Arg(0))
		os.Exit(2)
	}
	plan := schedule(rand.New(rand.NewPCG(*seed, 1)), *length)
	if *list {
		for _, f := range plan {
			fmt.Println(f)
		}
		return
	}
	fmt.Printf("seed %d, %v, %d faults\n", *seed, *length, len(plan))
	os.Exit(soak(*seed, *length, plan, *keep))
}

// play is a process of the site.
func play(text string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var p part
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = p.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak runs a site under a schedule of faults and returns the exit status.
func soak(seed uint64, length time.Duration, plan []fault, keep bool) (status int) {
	t := &frame{}
	defer t.end(&status)
	s := newSite(t, seed, keep)
	s.begin()
	s.suffer(plan, length)
	s.close()
	if found := s.judge(); len(found) > 0 {
		for _, text := range found {
			fmt.Println("FOUND:", text)
		}
		return 1
	}
	return 0
}
