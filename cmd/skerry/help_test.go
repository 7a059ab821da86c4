package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelpInChinese: the help of skerry itself is Chinese where its reader is, with a text for each command and option.
// That of a command is English, and so is all help without a word about the language.
func TestHelpInChinese(t *testing.T) {
	t.Parallel()
	han := regexp.MustCompile(`\p{Han}`)
	code, out, errs := cli(t, "", "--lang", "zh", "--help")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	lines := map[string]string{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		for _, word := range fields[:min(len(fields), 2)] {
			if _, seen := lines[word]; !seen {
				lines[word] = line
			}
		}
	}
	root := newApp(nil, nil, nil).command()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpFlag()
	said := func(name string) {
		t.Helper()
		if !han.MatchString(lines[name]) {
			t.Errorf("the help has no Chinese text for %s: %q", name, lines[name])
		}
	}
	for _, c := range append(root.Commands(), &cobra.Command{Use: "completion"}) {
		if !c.Hidden {
			said(c.Name())
		}
	}
	root.Flags().VisitAll(func(f *pflag.Flag) { said("--" + f.Name) })
	for _, args := range [][]string{{"ls", "--help", "--lang", "zh"}, {"--help", "--lang", "en"}, {"--help"}} {
		code, out, errs := cli(t, "", args...)
		if code != exitOK || errs != "" || han.MatchString(out) || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
}
