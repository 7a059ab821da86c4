package policychange

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/skerry/skerry/internal/policytext"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc"
)

// Bounds of the text of a suggestion.
const (
	allowMethods = 20  // of one item
	allowBytes   = 256 // bytes of a value, as in a policy
)

// allowed is what one caller is suggested to be allowed to call of a service.
type allowed struct {
	methods map[string]bool
	proof   string
	left    []string // comments on what is not suggested
}

// AllowText returns items of access.allow for calls that a policy does not allow yet, as text for the policy.
func AllowText(table *policy.Table, title string, calls []rpc.DeniedCalls) string {
	services := map[string]map[string]*allowed{}
	for _, c := range calls {
		_, _, by := table.Rules(c.Service, c.Method).Access(&policy.Request{Method: c.Method, Caller: c.Caller})
		if by != nil && by.Kind == "allow" {
			continue
		}
		callers := services[c.Service]
		if callers == nil {
			callers = map[string]*allowed{}
			services[c.Service] = callers
		}
		x := callers[c.Caller]
		if x == nil {
			x = &allowed{methods: map[string]bool{}}
			callers[c.Caller] = x
		}
		switch why := notSuggested(c, by); {
		case why != "":
			x.left = append(x.left, why)
		default:
			x.methods[c.Method], x.proof = true, c.Proof
		}
	}
	var b strings.Builder
	if len(services) == 0 {
		b.WriteString("# All calls that were counted are allowed by the policy in force.\n")
		return b.String()
	}
	fmt.Fprintf(&b, "# Calls that policy %s does not allow. Read each line: its caller may call then.\n",
		strconv.QuoteToASCII(title))
	b.WriteString("# Add the items to those that access.allow of the service has.\n")
	var lists strings.Builder
	for _, service := range slices.Sorted(maps.Keys(services)) {
		items, text := 0, strings.Builder{}
		for _, caller := range slices.Sorted(maps.Keys(services[service])) {
			items += services[service][caller].write(&text, caller)
		}
		if items == 0 { // there is no list without an item
			fmt.Fprintf(&b, "# Of %s nothing is suggested:\n", service)
			b.WriteString(strings.ReplaceAll(text.String(), allowIndent, ""))
			continue
		}
		fmt.Fprintf(&lists, "  %s:\n    access:\n      allow:\n%s", policytext.ASCII(service), text.String())
	}
	if lists.Len() > 0 {
		b.WriteString("services:\n" + lists.String())
	}
	return b.String()
}

// allowIndent stands before an item.
const allowIndent = "        "

// notSuggested says why a call is not suggested; "" when it is. by is the item that decides about it now.
func notSuggested(c rpc.DeniedCalls, by *policy.Item) string {
	call := strconv.QuoteToASCII(c.Caller) + " → " + strconv.QuoteToASCII(c.Method)
	switch {
	case by != nil:
		return call + ": " + by.Key + " denies it, and goes before allow"
	case strings.Contains(c.Method, "*"):
		return call + ": methods of many names are counted together; name them"
	case !plainValue(c.Method), !plainValue(c.Caller):
		return call + ": the names mean something else in a policy"
	}
	return ""
}

// plainValue reports whether a condition with the value holds for the value alone.
func plainValue(s string) bool {
	return s != "" && len(s) <= allowBytes && utf8.ValidString(s) && !strings.HasPrefix(s, "!") &&
		!strings.Contains(s, "*")
}

// write writes the items for a caller, and returns their number.
func (x *allowed) write(b *strings.Builder, caller string) (items int) {
	for _, text := range slices.Compact(slices.Sorted(slices.Values(x.left))) {
		fmt.Fprintf(b, allowIndent+"# %s\n", text)
	}
	if len(x.methods) == 0 {
		return 0
	}
	switch x.proof {
	case "name":
		b.WriteString(allowIndent + "# a name without proof: any program that reaches the port can use it\n")
	case "address":
		b.WriteString(allowIndent + "# all programs at this address\n")
	}
	for methods := range slices.Chunk(slices.Sorted(maps.Keys(x.methods)), allowMethods) {
		for i, m := range methods {
			methods[i] = policytext.ASCII(m)
		}
		list := "[" + strings.Join(methods, ", ") + "]"
		if len(methods) == 1 {
			list = methods[0]
		}
		fmt.Fprintf(b, allowIndent+"- {caller: %s, method: %s}\n", policytext.ASCII(caller), list)
		items++
	}
	return items
}
