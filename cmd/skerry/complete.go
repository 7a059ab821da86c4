package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/registry"
)

func completeProtocol(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, p := range registry.Protocols() {
		names = append(names, string(p))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeCall completes the service by the registered names. It completes the
// method and its JSON by the .thrift file that the line already names.
func (a *app) completeCall(cmd *cobra.Command, args []string, r callRequest) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeService(cmd, args, "")
	}
	file, err := dynamic.Load(r.thrift, r.includes...)
	if err != nil || len(args) > 2 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	method := ""
	if len(args) == 2 {
		method = args[1]
	}
	service, err := file.Find(r.iface, args[0], method)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, m := range service.Methods() {
		switch {
		case method == "":
			list = append(list, m.Name+"\t"+m.Signature())
		case method == m.Name:
			list = append(list, string(m.Template()))
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completeService offers the services that answer within a second.
func (a *app) completeService(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.listedNow(cmd, func(e discovery.Entry) string { return e.Service })
}

// completeModule offers the services that have a version, which can be released.
func (a *app) completeModule(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.listedNow(cmd, func(e discovery.Entry) string {
		if e.Version == "" || slices.Contains(args, e.Service) {
			return ""
		}
		return e.Service
	})
}

// completeFirst completes the first argument like completeModule, and no further
// arguments.
func (a *app) completeFirst(cmd *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeModule(cmd, args, part)
}

// completeVersion offers the running versions of the module on the line, or of all
// modules.
func (a *app) completeVersion(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.listedNow(cmd, func(e discovery.Entry) string {
		if len(args) > 0 && !slices.Contains(args, e.Service) {
			return ""
		}
		return e.Version
	})
}

// listedNow maps the instances that answer within a second by of. It returns the
// results sorted, each once.
func (a *app) listedNow(cmd *cobra.Command, of func(discovery.Entry) string) ([]string, cobra.ShellCompDirective) {
	a.flags.timeout = min(a.flags.timeout, time.Second)
	n, _, err := a.open(cmd.Context(), skerry.WithAllServices())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer n.Close()
	return completions(a.look(cmd.Context(), n, "").Instances, of), cobra.ShellCompDirectiveNoFileComp
}

func completions(entries []discovery.Entry, of func(discovery.Entry) string) []string {
	var names []string
	for _, e := range entries {
		if name := of(e); registry.CheckName("it", name) == nil { // the shell would split other names
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
