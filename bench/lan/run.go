package lan

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/run"
)

var systems = []string{"skerry", "memberlist"}

// Run measures both systems and prints the table.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lan", flag.ContinueOnError)
	hosts := flags.Int("hosts", 32, "hosts of each LAN, 4 to 250")
	losses := flags.String("loss", "0,10", "per cent of what arrives at a host that is dropped")
	rounds := flags.Int("rounds", 3, "rounds of the accidents; 0: none")
	window := flags.Duration("rest", 180*time.Second, "how long to measure at rest; 0: neither rest nor switch")
	split := flags.Duration("split", 30*time.Second, "how long the switch is lost")
	asJSON := flags.Bool("json", false, "print every value, as JSON")
	picture := flags.String("picture", "", "file for the picture")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *hosts < 4 || *hosts > 250 {
		return fmt.Errorf("-hosts %d: want 4 to 250", *hosts)
	}
	var lost []float64
	for text := range strings.SplitSeq(*losses, ",") {
		loss, err := strconv.ParseFloat(text, 64)
		if err != nil || loss < 0 || loss >= 100 {
			return fmt.Errorf("-loss %s: want percentages under 100", *losses)
		}
		lost = append(lost, loss)
	}
	all, err := measure(ctx, *hosts, lost, *rounds, *window, *split)
	if *asJSON {
		err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(all))
	} else {
		report(os.Stdout, *hosts, lost, all)
	}
	if *picture != "" {
		err = errors.Join(err, draw(*picture, *hosts, lost, all))
	}
	return err
}

func measure(ctx context.Context, hosts int, losses []float64, rounds int, window, split time.Duration) (all []sample,
	err error) {
	for round := range rounds {
		for _, loss := range losses {
			for _, system := range systems {
				found, err := accidents(ctx, system, hosts, loss, round)
				all = append(all, found...)
				if ctx.Err() != nil {
					return all, ctx.Err()
				}
				if err != nil { // shown, and the next one may do better
					say("%s, loss %v %%, round %d: %v", system, loss, round+1, err)
				}
			}
		}
	}
	if window <= 0 {
		return all, nil
	}
	found, err := beside(ctx, hosts, losses, window, split)
	return append(all, found...), err
}

// beside measures the systems at rest, all at the same time: they do little.
func beside(ctx context.Context, hosts int, losses []float64, window, split time.Duration) (all []sample, err error) {
	found := make(chan []sample, len(losses)*len(systems))
	group := run.NewGroup(ctx)
	for _, loss := range losses {
		for _, system := range systems {
			group.Go(func(ctx context.Context) error {
				samples, err := rest(ctx, system, hosts, loss, window, split)
				if err != nil {
					say("%s, loss %v %%: %v", system, loss, err)
				}
				found <- samples
				return nil
			})
		}
	}
	err = group.Wait()
	close(found)
	for samples := range found {
		all = append(all, samples...)
	}
	return all, err
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
