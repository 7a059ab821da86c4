package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/cmd/skerry/internal/gen"
	"github.com/skerry/skerry/internal/quote"
)

func (a *app) genCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "gen",
		Short: "Generate code for the streams of a .thrift file",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.genGoCommand())
	return c
}

func (a *app) genGoCommand() *cobra.Command {
	o := gen.Options{}
	check := false
	c := &cobra.Command{
		Use:   "go FILE.thrift",
		Short: "Generate Go code for streams and asynchronous methods",
		Long: `Writes one Go file beside the stock compiler's package of a .thrift file: for
each service with annotated methods a client that opens streams, an interface
that a provider implements, and a processor over the stock one. The stock
compiler ignores the annotations. They stand behind a method:

  skerry.stream = "server"       the result type is that of the stream's items
  skerry.stream = "client"       the argument is an item; the result comes last
  skerry.stream = "bidi"         both; streaming.mode of Kitex is read, too
  skerry.item = "point"          which argument is the item, if there are several
  skerry.resume = "r.since = t"  the argument that a subscription is opened again
                                 with, and the item's field that it is set to;
                                 "r.since" alone when both names are equal
  skerry.page = "watch"          serve pages of this server stream, for callers
                                 without streams: its arguments, max and waitMs
  skerry.async = "true"          the provider may answer after the method returned

Without --package the stock package is looked for below ./gen-go, ./gen and . by
the namespace for Go, and beside the file. Exit code 2 when the file has mistakes;
all are printed, each with its line.`,
		Example: `  thrift --gen go:package_prefix=example.com/site/gen/,skip_remote -out gen historian.thrift
  skerry gen go historian.thrift
  skerry gen go historian.thrift --check`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o.File = args[0]
			return a.genGo(o, check)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"thrift"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Out, "out", "o", "",
		"`FILE` to write, - for stdout, or its directory (default PACKAGEstream beside the stock package)")
	f.StringVar(&o.Package, "package", "", "import `PATH` or directory of the stock compiler's package")
	f.StringArrayVarP(&o.Includes, "include", "I", nil, "`DIR` to look for included files in; may be repeated")
	f.BoolVar(&check, "check", false, "write nothing; exit code 1 if the file is not what would be written")
	c.MarkFlagDirname("include")
	return c
}

func (a *app) genGo(o gen.Options, check bool) error {
	out, err := gen.Generate(o)
	if err != nil {
		return usagef("%w", err)
	}
	if out.Path == "-" {
		if check {
			return usagef("--check needs a file to compare with: --out FILE")
		}
		a.printf("%s", quote.Lines(string(out.Text)))
		return nil
	}
	have, err := os.ReadFile(out.Path)
	if err != nil && !os.IsNotExist(err) {
		return problemf("%w", err)
	}
	current := err == nil && bytes.Equal(have, out.Text)
	if check && !current {
		return problemf("%s is not what skerry gen go makes of %s; run it without --check, and commit the file",
			out.Path,
			o.File)
	}
	if !current {
		if err := os.MkdirAll(filepath.Dir(out.Path), 0o755); err != nil {
			return problemf("%w", err)
		}
		if err := os.WriteFile(out.Path, out.Text, 0o644); err != nil {
			return problemf("%w", err)
		}
	}
	return a.printGenerated(out, current)
}

func (a *app) printGenerated(out *gen.Output, current bool) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"file": out.Path, "package": out.Package, "services": out.Services,
			"written": !current})
	}
	if current {
		a.printf("%s is up to date\n", out.Path)
		return nil
	}
	a.printf("%s: %s\n", out.Path, strings.Join(out.Services, ", "))
	return nil
}
