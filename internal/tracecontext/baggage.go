package tracecontext

import "strings"

// Members of W3C baggage that only the site itself sets. The first three a call may carry instead of a
// token, after it has passed a program that is not skerry.
const (
	TokenMember = "skerry-rollout" // rollout.Token.String
	KeyMember   = "skerry-key"     // sticky key: calls with one key meet one side of a split
	MarkMember  = "skerry-mark"    // a verifier's mark

	MirrorMember = "skerry-mirror" // the trace is that of a copy of a call
)

// Member returns the value of a member of a baggage list without its properties, or "".
func Member(baggage, key string) string {
	for baggage != "" {
		var member string
		member, baggage, _ = strings.Cut(baggage, ",")
		name, value, _ := strings.Cut(member, "=")
		if strings.TrimSpace(name) == key {
			value, _, _ = strings.Cut(value, ";")
			return strings.TrimSpace(value)
		}
	}
	return ""
}
