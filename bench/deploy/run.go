package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var verbose bool

// Run deploys in each way and prints the tables.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	names := flags.String("columns", "A,B,C,D", "ways to deploy, of A, B, C, D")
	rounds := flags.Int("rounds", 1, "rounds, 1 to 9; the columns take turns within each, and medians are printed")
	paced := flags.Bool("paced", false, "wait before each step as long as a person needs for it")
	source := flags.String("source", ".", "directory of this module")
	build := flags.String("build", "", "directory for what is made before the visit, used again when it is there "+
		"(default one of its own)")
	asJSON := flags.Bool("json", false, "print every value, as JSON")
	list := flags.Bool("steps", false, "print what the person does, with the time of each step, and deploy nothing")
	picture := flags.String("picture", "", "file for the picture")
	flags.BoolVar(&verbose, "v", false, "print commands and what they print")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *rounds > 9 {
		return fmt.Errorf("-rounds %d: want 1 to 9", *rounds)
	}
	columns, err := chosen(*names)
	if err != nil {
		return err
	}
	if *list {
		for _, c := range columns {
			c.print(os.Stdout)
		}
		return nil
	}
	dir := *build
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench-deploy-home-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	h, err := newHome(ctx, dir, *source, columns)
	if err != nil {
		return err
	}
	began := load()
	var all []result
	for round := 1; round <= *rounds && err == nil; round++ {
		for _, c := range columns {
			found, failed := c.perform(ctx, h, round, *paced)
			all = append(all, found...)
			err = errors.Join(err, failed)
			if ctx.Err() != nil {
				break
			}
		}
	}
	if *asJSON {
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(all))
	}
	report(os.Stdout, columns, all)
	fmt.Printf("\nLoad average: %s before, %s after; %d round(s)", began, load(), *rounds)
	if *paced {
		fmt.Print(", paced")
	}
	fmt.Println(".")
	if *picture != "" {
		err = errors.Join(err, draw(*picture, columns, all))
	}
	return err
}

func chosen(names string) (columns []column, err error) {
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, c := range []column{columnA(), columnB(), columnC(), columnD()} {
			if c.name == name {
				columns, found = append(columns, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-columns %s: there is no %q", names, name)
		}
	}
	return columns, nil
}

// load is the machine's load average over a minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
