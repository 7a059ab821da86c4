package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// file is one file of the packages.
type file struct {
	name      string // in the archive
	installed string // path after the installation by deb or rpm
	data      []byte
	mode      int64
}

var (
	subcommand = regexp.MustCompile(`(?m)^  ([a-z-]+) +\S`)
	plain      = []string{"LC_ALL=C", "SKERRY_LANG=en", "SKERRY_CONFIG="}
)

// completions are the shells, with the file that each reads.
var completions = [][2]string{
	{"bash", "/usr/share/bash-completion/completions/skerry"},
	{"zsh", "/usr/share/zsh/site-functions/_skerry"},
	{"fish", "/usr/share/fish/vendor_completions.d/skerry.fish"},
}

// helpPages has the program write its man pages and completions.
func helpPages(program, version string, when time.Time) ([]file, error) {
	var files []file
	for _, c := range completions {
		text, err := output("", plain, program, "completion", c[0])
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: "completions/skerry." + c[0], installed: c[1], data: text, mode: 0o644})
	}
	return manPages(files, program, version, when, nil)
}

// manPages appends the page of a command and those of the commands below it.
func manPages(files []file, program, version string, when time.Time, path []string) ([]file, error) {
	text, err := output("", plain, program, append(append([]string{}, path...), "--help")...)
	if err != nil {
		return nil, err
	}
	name := strings.Join(append([]string{"skerry"}, path...), "-")
	page := name + ".1"
	files = append(files, file{name: "man/" + page, installed: "/usr/share/man/man1/" + page,
		data: manPage(name, version, when, string(text)), mode: 0o644})
	_, below, _ := strings.Cut(string(text), "\nAvailable Commands:\n")
	below, _, _ = strings.Cut(below, "\n\n")
	for _, m := range subcommand.FindAllStringSubmatch(below, -1) {
		if m[1] == "help" || m[1] == "completion" {
			continue
		}
		if files, err = manPages(files, program, version, when, append(path[:len(path):len(path)], m[1])); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// heading is a line of the help that begins a section.
var heading = regexp.MustCompile(`^[A-Z][A-Za-z ]*:$`)

// manPage sets the help of a command as a man page.
func manPage(name, version string, when time.Time, help string) []byte {
	var b strings.Builder
	first, _, _ := strings.Cut(strings.ReplaceAll(help, "\n", " "), ". ")
	fmt.Fprintf(&b, ".TH %s 1 %s \"skerry %s\" \"skerry\"\n.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n.nf\n",
		roff(strings.ToUpper(name)), when.Format(time.DateOnly), roff(version), roff(name),
		roff(strings.TrimSuffix(strings.TrimSpace(first), ".")))
	for line := range strings.Lines(strings.TrimSpace(help)) {
		line = strings.TrimRight(line, "\n")
		if heading.MatchString(line) {
			fmt.Fprintf(&b, ".fi\n.SH %s\n.nf\n", strings.ToUpper(strings.TrimSuffix(line, ":")))
			continue
		}
		b.WriteString(roff(line) + "\n")
	}
	b.WriteString(".fi\n")
	return []byte(b.String())
}

// roff escapes what troff would take for a request.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
