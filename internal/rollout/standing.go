package rollout

import "slices"

// Standing says whether the rules of the log send calls to a running version.
type Standing string

// The standings that keep calls away. The empty standing lets calls through.
const (
	standsRetired    Standing = "retired"    // a release has retired it: it refuses every call
	standsUnreleased Standing = "unreleased" // no release has shipped it: it gets no calls
	standsUnshipped  Standing = "unshipped"  // no release has shipped it, but one is open and may ship it
)

// Standing returns whether the rules send calls to a version of a service. An
// unknown service and an empty version have the empty standing.
func (l *Log) Standing(service, version string) Standing {
	rule, known := l.Rule(service)
	if !known || version == "" || slices.Contains(rule.Versions(), version) {
		return ""
	}
	session, _ := l.Session()
	open := session.Name != "" && !session.Finished()
	if open && slices.ContainsFunc(session.Modules, func(m Module) bool {
		return m.Service == service && (m.New == version || m.Old == version)
	}) {
		return ""
	}
	switch {
	case l.Floor(service, version) != (Generation{}):
		return standsRetired
	case open:
		return standsUnshipped
	}
	return standsUnreleased
}

// Expected reports whether the standing is normal during a release, because a
// version runs before it is shipped.
func (s Standing) Expected() bool { return s == standsUnshipped }

// Explain returns the standing in words: its effect, and the remedy for an
// operator.
func (s Standing) Explain() (what, mend string) {
	switch s {
	case standsRetired:
		return "a release has retired this version: it refuses every call",
			"stop these processes, and see what starts them again"
	case standsUnreleased:
		return "this version is in no release: it gets no calls", "ship it in a release, or stop these processes"
	case standsUnshipped:
		return "this version is not shipped yet: it gets no calls", "skerry release ship, or stop these processes"
	}
	return "", ""
}
