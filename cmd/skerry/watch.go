package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/discovery"
)

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch [SERVICE]",
		Short: "Show changes as they happen",
		Long: `Prints the list, then every change as a line: + listed, - dropped, ~ changed its
state or what it says of itself, ! vanished among many and is asked before it is
dropped. Ends with ctrl-C.`,
		Args:              cobra.MaximumNArgs(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.watch(cmd.Context(), first(args)) },
		ValidArgsFunction: a.completeService,
	}
}

var eventSign = map[discovery.EventKind]string{discovery.Listed: "+", discovery.Dropped: "-",
	discovery.Protected: "!", discovery.Changed: "~"}

func (a *app) printEvent(e discovery.Event) {
	if a.flags.json {
		a.printLine(e)
		return
	}
	in := e.Entry
	text := fmt.Sprintf("%s %s %s %s", e.When.Format(time.TimeOnly), eventSign[e.Kind], title(in.Service, in.Version),
		in.Addr)
	if e.Kind != discovery.Dropped {
		text += fmt.Sprintf("  %s (%s)", stateText(in), sourceText(in))
	}
	if why := cmp.Or(e.Why, in.Why); why != "" {
		text += "  " + why
	}
	a.printf("%s\n", text)
}
