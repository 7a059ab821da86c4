// Demo shows on this machine, in a bit more than a minute and without a database, what skerry proxy and the helpers of
// lang/ give to programs in Java, Python, C++ and Node.js. It starts two make-believe hosts with all four programs of
// the example and sends requests. It kills a program and a proxy, upgrades a proxy, restarts both hosts one after the
// other, and releases the Java Auth together with the Python Proc. Then it plays that release with programs that serve
// without the helper.
//
// It ends with a summary of promises and measurements. The exit status is 0 only when every promise was kept.
// scenes.go lists the scenes, each with its action and its promises.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/skerry/skerry/examples/internal/site"
)

func main() {
	root := flag.String("root", ".", "root of the repository, where examples/polyglot/build has been run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	self, err := os.Executable()
	kept := false
	if err == nil {
		kept, err = run(ctx, *root, filepath.Dir(self), os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if err != nil || !kept {
		os.Exit(1)
	}
}

// run plays every act. bin holds the command skerry.
func run(ctx context.Context, root, bin string, out io.Writer) (kept bool, err error) {
	if root, err = filepath.Abs(root); err != nil {
		return false, err
	}
	for _, made := range []string{"gen/ready", "java/ready", "db"} {
		if _, err := os.Stat(filepath.Join(root, ".build/polyglot", made)); err != nil {
			return false, fmt.Errorf("the programs are not built: run examples/polyglot/build (%w)", err)
		}
	}
	dir, err := os.MkdirTemp("", "skerry-demo-")
	if err != nil {
		return false, err
	}
	screen := newScreen(out)
	var results []result
	for i, a := range acts {
		own := filepath.Join(dir, fmt.Sprintf("act-%d", i+1))
		if err := os.Mkdir(own, 0o700); err != nil {
			return false, err
		}
		s, err := site.New(bin, own, "")
		if err != nil {
			return false, err
		}
		played, err := perform(ctx, s, root, screen, a)
		s.Close()
		results = append(results, played...)
		if err != nil {
			return false, fmt.Errorf("%w; what the processes had to say is in %s", err, dir)
		}
	}
	if kept = screen.summary(results); !kept {
		fmt.Fprintf(os.Stderr, "demo: what the processes had to say is in %s\n", dir)
		return kept, nil
	}
	return kept, os.RemoveAll(dir)
}
