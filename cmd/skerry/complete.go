package main

import (
	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/registry"
	"github.com/spf13/cobra"
)

func completeProtocol(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, p := range registry.Protocols() {
		names = append(names, string(p))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeCall completes the service by what is registered, the method and
// its JSON by the .thrift file that the line names already.
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
