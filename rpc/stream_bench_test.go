package rpc

import (
	"context"
	"strings"
	"testing"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// BenchmarkServerStream sends items of 1 KiB to one caller.
func BenchmarkServerStream(b *testing.B) {
	f := &feedHandler{}
	text := strings.Repeat("x", 1024)
	f.watch = func(ctx context.Context, a *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
		m := &echo.Message{Text: text}
		for range a.Count {
			if err := out.Send(ctx, m); err != nil {
				return err
			}
		}
		return nil
	}
	s := serveFeed(b, ServerConfig{}, f)
	_, tc := feedClient(b, ClientConfig{}, s.feed())
	ctx := context.Background()
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	st, err := openWatch(ctx, tc, 0, int64(b.N))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, err := range st.All(ctx) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != b.N {
		b.Fatal(n)
	}
}
