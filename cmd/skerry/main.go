package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/words"
	"github.com/skerry/skerry/site/agent/shim"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "shim" { // before anything else: a shim is small
		os.Exit(shim.Main(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	a := newApp(in, out, err)
	a.width = widthOf(out)
	a.openReleases, a.openMembers = a.openSite, a.openSiteMembers
	return a.run(ctx, args)
}

// app is one command line with its streams and global flags. Its Writers escape the
// control characters of texts from outside.
type app struct {
	in       io.Reader
	out, err *quote.Writer
	flags    flags
	lang     words.Language // of what people read; "": English
	answers  *bufio.Reader  // reads in; set after the first question
	spun     int            // state of passing's spinner
	shown    bool           // a passing line is on the screen
	warned   bool           // of a password in the arguments
	width    func() int     // columns of the terminal of out, 0 without one
	started  bool           // the command line was parsed: later errors are not usage errors

	// nil: the operator answers for the hosts
	openMembers  func(context.Context) (keyMembers, func(), error)
	openReleases func(context.Context, *releaseFlags) (releases.Operations, func(), error) // tests replace it
}

func newApp(in io.Reader, out, err io.Writer) *app {
	return &app{in: in, out: quote.NewWriter(out), err: quote.NewWriter(err)}
}

// widthOf returns a function for the width of w if it is a terminal, because the width may change.
func widthOf(w io.Writer) func() int {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return width
	}
}

// run runs one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	failed := root.ExecuteContext(ctx)
	code := a.report(failed)
	a.out.Flush()
	if err := a.out.Err(); err != nil { // a full disk: the printed output is incomplete
		if code = max(code, exitProblem); !errors.Is(failed, err) {
			a.report(problemf("the output could not be written: %w", err))
		}
	}
	a.err.Flush()
	return code
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "skerry",
		Short: "Show and tend a skerry cluster",
		Long: "skerry shows what is registered in a cluster and why, calls its services,\nand finds out " +
			"what is wrong with a host or a site.",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.started = true
			return a.setLanguage(cmd)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.flags.register(root)
	a.setHelp(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w\nSee: %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(a.lsCommand(), a.lookupCommand(), a.watchCommand(), a.membersCommand(), a.topCommand(),
		a.statsCommand(), a.traceCommand(), a.callCommand(), a.genCommand(), a.announceCommand(), a.drainCommand(),
		a.deregisterCommand(), a.releaseCommand(), a.policyCommand(), a.gatewayCommand(), a.proxyCommand(),
		a.consoleCommand(), a.siteCommand(), a.agentCommand(), a.artifactCommand(), a.bundleCommand(),
		a.projectCommand(), a.buildCommand(), a.keyCommand(), a.operatorCommand(),
		a.doctorCommand(), a.schemaCommand(), a.configCommand(), a.versionCommand())
	return root
}
