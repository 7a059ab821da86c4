package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if a.flags.json {
				return a.printJSON(map[string]string{"version": v, "go": runtime.Version(), "os": runtime.GOOS,
					"arch": runtime.GOARCH})
			}
			a.printf("skerry %s (%s, %s/%s)\n", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// version is that of a package; make dist sets it by -ldflags "-X main.version=1.2.0".
var version string

// buildVersion returns the version of the package, else that of the module, or the commit of the build.
func buildVersion() string {
	if version != "" {
		return "v" + version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
