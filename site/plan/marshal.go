package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Marshal is the text of a plan, which [Parse] and [ParseDraft] read back. Equal plans have equal texts.
func (p *Plan) Marshal() []byte {
	text := p.marshal(true)
	if back, err := ParseDraft("", text); err == nil && slices.Equal(back.marshal(false), p.marshal(false)) {
		return text
	}
	return p.marshal(false) // a configuration that a block of YAML can't hold as it is
}

// writer writes YAML with an indentation.
type writer struct{ strings.Builder }

func (w *writer) line(depth int, format string, args ...any) {
	w.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

// marshal writes the plan, with configurations as blocks where that can be read.
func (p *Plan) marshal(blocks bool) []byte {
	w := &writer{}
	if p.Number != 0 {
		w.line(0, "plan: %d", p.Number)
	}
	if p.Parent != "" {
		w.line(0, "parent: %s", scalar(p.Parent))
	}
	w.line(0, "cluster: %s", scalar(p.Cluster))
	if p.Reason != "" {
		w.line(0, "reason: %s", scalar(p.Reason))
	}
	if len(p.Services) > 0 {
		w.line(0, "services:")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		w.service(name, p.Services[name], blocks)
	}
	return []byte(w.String())
}

func (w *writer) service(name string, s Service, blocks bool) {
	before := w.Len()
	w.line(1, "%s:", scalar(name))
	begin := w.Len()
	if s.User != "" {
		w.line(2, "user: %s", scalar(s.User))
	}
	if limits := s.Limits.flow(); limits != "{}" {
		w.line(2, "limits: %s", limits)
	}
	if s.Ports != "" {
		w.line(2, "ports: %s", scalar(s.Ports))
	}
	switch {
	case s.Config == "":
	case blocks && strings.HasSuffix(s.Config, "\n"):
		w.line(2, "config: |")
		for line := range strings.Lines(s.Config) {
			w.line(3, "%s", strings.TrimSuffix(line, "\n"))
		}
	default:
		w.line(2, "config: %s", scalar(s.Config))
	}
	if s.Restarts != 0 {
		w.line(2, "restarts: %d", s.Restarts)
	}
	if len(s.Run) > 0 {
		w.line(2, "run:")
	}
	for _, version := range slices.Sorted(maps.Keys(s.Run)) {
		w.run(version, s.Run[version])
	}
	if w.Len() == begin {
		text := w.String()[:before]
		w.Reset()
		w.WriteString(text)
		w.line(1, "%s: {}", scalar(name))
	}
}

func (w *writer) run(version string, r Run) {
	var parts []string
	if len(r.Hosts) > 0 {
		parts = append(parts, "hosts: "+flow(r.Hosts, strconv.Itoa))
	}
	if r.On.Count != 0 {
		on := "count: " + strconv.Itoa(r.On.Count)
		if len(r.On.Labels) > 0 {
			on = "labels: " + flow(r.On.Labels, scalar) + ", " + on
		}
		parts = append(parts, "on: {"+on+"}")
	}
	if len(r.Artifacts) == 0 {
		w.line(3, "%s: {%s}", scalar(version), strings.Join(parts, ", "))
		return
	}
	w.line(3, "%s:", scalar(version))
	w.line(4, "artifacts:")
	for _, platform := range slices.Sorted(maps.Keys(r.Artifacts)) {
		w.line(5, "%s: %s", scalar(platform), scalar(r.Artifacts[platform]))
	}
	for _, part := range parts {
		w.line(4, "%s", part)
	}
}

func (l Limits) flow() string {
	var parts []string
	if l.Memory != 0 {
		parts = append(parts, "memory: "+sizeText(l.Memory))
	}
	if l.CPU != "" {
		parts = append(parts, "cpu: "+scalar(l.CPU))
	}
	if l.Files != 0 {
		parts = append(parts, "files: "+strconv.Itoa(l.Files))
	}
	if l.Processes != 0 {
		parts = append(parts, "processes: "+strconv.Itoa(l.Processes))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// sizeText writes bytes as a plan has them: 512MiB.
func sizeText(bytes int64) string {
	unit := []string{"", "KiB", "MiB", "GiB"}
	n := 0
	for ; bytes != 0 && bytes%1024 == 0 && n < len(unit)-1; n++ {
		bytes /= 1024
	}
	return strconv.FormatInt(bytes, 10) + unit[n]
}

// flow writes a map on one line.
func flow[V any](m map[string]V, text func(V) string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, scalar(key)+": "+text(m[key]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// scalar writes a text plainly where every reader of YAML takes it for a text, else in quotes.
func scalar(text string) string {
	switch strings.ToLower(text) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(text)
	}
	isLetter := func(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	for i, c := range text {
		if !isLetter(c) && (i == 0 || !strings.ContainsRune("0123456789._/-", c)) {
			if first, last, err := parsePorts(text); err == nil && first < last || percent(text) {
				return text
			}
			return strconv.Quote(text)
		}
	}
	if text == "" {
		return `""`
	}
	return text
}

func percent(text string) bool {
	number, ok := strings.CutSuffix(text, "%")
	_, err := strconv.ParseUint(number, 10, 32)
	return ok && err == nil
}
