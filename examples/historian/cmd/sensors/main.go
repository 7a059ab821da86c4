// Sensors is the Go client of historian, with a command for each kind of stream:
//
//	sensors -config FILE upload [-count N] [-every TIME] TAG   sends values of a sensor: a client stream
//	sensors -config FILE watch [-count N] [-since T] [TAG...]  shows values as they come: a server stream, followed
//	sensors -config FILE talk TAG...                           asks for the last value of each: a bidi stream
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/examples/historian/apistream"
	"github.com/skerry/skerry/rpc"
)

func main() {
	config := flag.String("config", "skerry.yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *config, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sensors:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, config string, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("which command: upload, watch or talk?")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	count := flags.Int("count", 0, "end after `N` values; 0: go on until ctrl-C")
	every := flags.Duration("every", time.Second, "`TIME` between two values of upload")
	since := flags.Int64("since", time.Now().UnixMilli(), "show values after `T`, in milliseconds since 1970")
	_ = flags.Parse(args[1:]) // exits
	tags := flags.Args()
	node, err := skerry.OpenFile(ctx, config)
	if err != nil {
		return err
	}
	defer node.Close()
	switch {
	case args[0] == "upload" && len(tags) == 1:
		return upload(ctx, node, tags[0], *count, *every, out)
	case args[0] == "watch":
		return watch(ctx, node, &api.Range{Tags: tags, Since: *since}, *count, out)
	case args[0] == "talk" && len(tags) > 0:
		return talk(ctx, node, tags, out)
	}
	return fmt.Errorf("%s can't be done with %d sensors", args[0], len(tags))
}

// upload sends values until ctx ends. A stream that is lost is opened again. Each of its values was kept or not, and
// none is sent twice.
func upload(ctx context.Context, node *skerry.Node, tag string, count int, every time.Duration, out io.Writer) error {
	historian := skerry.Stub(node, "historian", apistream.NewHistorianClient)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for sent := 0; ctx.Err() == nil && (count == 0 || sent < count); {
		up, err := historian().Upload(context.WithoutCancel(ctx), tag) // ctx ends the values, and not the answer
		if err == nil {
			sent, err = send(ctx, up, tag, sent, count, tick.C)
		}
		if err == nil {
			var ack *api.Ack
			if ack, err = up.End(context.WithoutCancel(ctx)); err == nil {
				fmt.Fprintf(out, "%s: %d values are kept\n", tag, ack.Kept)
				continue
			}
		}
		fmt.Fprintf(os.Stderr, "sensors: %s: %v; it is opened again\n", tag, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
	return nil
}

// send sends a value with each tick until ctx ends, count values are sent, or the historian leaves. It returns how many
// are sent.
func send(ctx context.Context, up *rpc.ClientStream[*api.Point, *api.Ack],
	tag string, sent, count int, tick <-chan time.Time,
) (int, error) {
	for {
		value := 4 + math.Sin(float64(len(tag)+sent)/10)
		if err := up.Send(ctx, &api.Point{Value: value}); err == io.EOF {
			return sent, nil // End says why
		} else if err != nil {
			up.Close()
			return sent, err
		}
		if sent++; sent == count {
			return sent, nil
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return sent, nil
		case <-up.Moving():
			return sent, nil
		}
	}
}

// watch shows values until ctx ends, also when the historian was started again or released meanwhile. A historian
// without streams is followed by its pages.
func watch(ctx context.Context, node *skerry.Node, r *api.Range, count int, out io.Writer) error {
	sub := skerry.Follow(ctx, node, "historian", "watch", &api.HistorianWatchArgs{R: r}, api.NewHistorianWatchResult,
		apistream.HistorianWatchResume, apistream.HistorianWatchPage)
	defer sub.Close()
	for p, err := range sub.All(ctx) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		print(out, p)
		if count--; count == 0 {
			break
		}
	}
	return nil
}

// talk asks for values one after another, on one stream.
func talk(ctx context.Context, node *skerry.Node, tags []string, out io.Writer) error {
	d, err := skerry.Stub(node, "historian", apistream.NewHistorianClient)().Talk(ctx)
	if err != nil {
		return err
	}
	defer d.Close()
	for _, tag := range tags {
		if err := d.Send(ctx, &api.Query{Tag: tag, T: time.Now().UnixMilli()}); err != nil {
			return err
		}
		p, err := d.Recv(ctx)
		if err != nil {
			return err
		}
		print(out, p)
	}
	return nil
}

func print(out io.Writer, p *api.Point) {
	if p.T == 0 {
		fmt.Fprintf(out, "%s: no value is kept\n", p.Tag)
		return
	}
	fmt.Fprintf(out, "%s %-12s %6.2f\n", time.UnixMilli(p.T).Format("15:04:05.000"), p.Tag, p.Value)
}
