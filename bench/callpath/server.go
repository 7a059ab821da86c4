package callpath

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// usage is what a process has used since it began.
type usage struct {
	CPU     time.Duration // user and system
	Mallocs uint64
}

func usageNow() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // RUSAGE_SELF can't fail
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{time.Duration(r.Utime.Nano() + r.Stime.Nano()), m.Mallocs}
}

// since is u less an earlier usage.
func (u usage) since(v usage) usage { return usage{u.CPU - v.CPU, u.Mallocs - v.Mallocs} }

// Serve is the server process: it prints its address, answers calls, and
// prints its usage as a line of JSON for every line that it reads, until its
// input ends. Told "free", it first gives back the memory that it can.
func Serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("call-server", flag.ContinueOnError)
	name := flags.String("peer", "", "peer to serve as")
	profiles := flags.String("profile", "", "directory for profiles of this process")
	flags.StringVar(&certificates, "certificates", "", "directory of the certificate, for peers with TLS")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := peerNamed(*name)
	if err != nil {
		return err
	}
	done, err := profile(*profiles, *name+".server")
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- p.serve(ctx, ln) }()
	fmt.Println(ln.Addr())
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		out := json.NewEncoder(os.Stdout)
		for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
			if sc.Text() == "free" {
				debug.FreeOSMemory()
			}
			if err := out.Encode(usageNow()); err != nil {
				return
			}
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-asked:
		return done()
	case <-time.After(2 * time.Minute): // the parent died without closing our input
		return fmt.Errorf("no end came")
	}
}
