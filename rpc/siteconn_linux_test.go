package rpc

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"
)

// processorTime returns the processor time that this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSiteConnections measures the processor time of both ends for a site connection,
// including the greetings before the first call.
func BenchmarkSiteConnections(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewServer(ServerConfig{Site: siteOf(b, ownerB, 1), Identity: identityOf(ownerB, 1)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	defer func() { cancel(); <-served }()
	site := siteOf(b, ownerA, 1)
	before := processorTime()
	for b.Loop() {
		e := &Endpoint{ID: "b", Service: "echo", Addr: l.Addr().String(), Site: true, Owner: ownerB}
		c, err := NewClient(
			ClientConfig{
				Resolver:       Static(e),
				Site:           site,
				Identity:       identityOf(ownerA, 1),
				ConnectTimeout: 10 * time.Second,
			},
		)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Check(ctx, e); err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}
