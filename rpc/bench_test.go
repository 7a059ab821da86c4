package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// BenchmarkCall is an echo over loopback with all features: headers, trace, deadline, breaker,
// statistics on both sides.
func BenchmarkCall(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewServer(
		ServerConfig{Logger: slog.New(slog.DiscardHandler), Health: health.NewRecorder(health.Config{})},
	)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Handle("echo", "v1", echo.NewEchoProcessor(&handler{})); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	defer func() { cancel(); <-served }()
	c, err := NewClient(
		ClientConfig{
			Resolver: Static(&Endpoint{ID: "e", Addr: l.Addr().String()}),
			Caller:   "bench",
			Health:   health.NewRecorder(health.Config{}),
		},
	)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	tc, err := c.Service("echo", ServiceOptions{Timeout: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{1, 16, 128} {
		for _, size := range []int{100, 1024} {
			b.Run(fmt.Sprintf("callers=%d/bytes=%d", callers, size), func(b *testing.B) {
				b.ReportAllocs()
				m := &echo.Message{
					Text:   strings.Repeat("x", size-20),
					Tags:   map[string]string{"a": "b", "c": "d"},
					Number: 1,
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := echo.NewEchoClient(tc).Echo(context.Background(), m); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// BenchmarkTokens measures the cost of tokens while no release is under way: the difference between
// its halves, both of one hop of a chain.
func BenchmarkTokens(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("on=%v", on), func(b *testing.B) {
			var agent *participant.Agent
			ctx := context.Background()
			if on {
				var err error
				if agent, err = participant.New(participant.Config{Process: "bench"}); err != nil {
					b.Fatal(err)
				}
				root := agent.Begin("bench", 1, "")
				defer root.End()
				ctx = root.Context(ctx)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s, err := NewServer(ServerConfig{Rollout: agent, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Handle("echo", "v1", echo.NewEchoProcessor(&handler{})); err != nil {
				b.Fatal(err)
			}
			serving, cancel := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- s.Serve(serving, l) }()
			defer func() { cancel(); <-served }()
			c, err := NewClient(
				ClientConfig{Resolver: Static(&Endpoint{ID: "e", Addr: l.Addr().String()}), Rollout: agent},
			)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			tc, err := c.Service("echo", ServiceOptions{Timeout: 10 * time.Second})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := echo.NewEchoClient(tc).Who(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
