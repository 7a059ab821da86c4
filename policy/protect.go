package policy

// Protects reports whether the callee has something to check before it executes a call: access or limits.
func (r *Rules) Protects() bool {
	return r != nil && (r.guarded || len(r.own.limits)+len(r.every.limits) > 0)
}

// Identity is the same for an item before and after an operator changes what it does: its name, or else its place and
// conditions. Two items of one policy may have the same.
func (i *Item) Identity() string { return i.identity() }
