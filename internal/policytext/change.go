package policytext

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// Place is where an item stands in a text.
type Place struct {
	Plan    string // that it is of; "": it holds at once
	Service string // "" for lanes
	List    string // limits, allow, lanes and so on
	Index   int    // in the list; 0 for the first
}

// Found is an item of a policy with its place.
type Found struct {
	Place
	Item *policy.Item
}

// Items returns the items of a policy in the order of its text.
func Items(p *policy.Policy) (all []Found) {
	add := func(plan string, items []policy.Item) {
		for n := range items {
			i := &items[n]
			at := strings.LastIndexByte(i.Key, '[')
			index, err := strconv.Atoi(strings.TrimSuffix(i.Key[at+1:], "]"))
			if err != nil {
				continue
			}
			list := string(i.Kind)
			if i.Service == "" {
				list = "lanes"
			}
			all = append(all, Found{Place{plan, i.Service, list, index}, i})
		}
	}
	for _, s := range p.Services {
		add("", s.Items)
	}
	for name, plan := range p.Plans {
		for _, s := range plan.Services {
			add(name, s.Items)
		}
	}
	add("", p.Lanes)
	slices.SortFunc(all, func(a, b Found) int {
		return cmp.Or(cmp.Compare(p.Lines[a.Item.Key], p.Lines[b.Item.Key]), strings.Compare(a.Item.Key, b.Item.Key))
	})
	return all
}

// Remove returns a text without an item. See the package.
func Remove(text string, at Place) (string, error) { return change(text, at, nil) }

// Replace returns a text in which an item stands in the place of another one. See the package.
func Replace(text string, at Place, item Item) (string, error) { return change(text, at, &item) }

// Others returns the fields of an item of a text that none of the given ones names, for an item that replaces it.
func Others(text string, at Place, than []Field) (list []Field, err error) {
	o, err := open(text, at)
	if err != nil {
		return nil, err
	}
	written := o.text[o.from:o.to]
	if o.dash >= 0 { // its first key stands behind the dash
		written = strings.Repeat(" ", o.dash+1) + written[o.dash+1:]
	}
	fields := map[string]yamlfile.JSON{}
	if doc := yamlfile.Decode([]byte(written), &fields, nil); len(doc.Problems) > 0 {
		return nil, o.byHand(errors.New("the item can't be read alone"))
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if key != "match" {
			list = append(list, Field{Key: key, Value: string(fields[key]), Raw: true})
			continue
		}
		match := map[string]yamlfile.JSON{}
		if doc := yamlfile.Decode(fields[key], &match, nil); len(doc.Problems) > 0 {
			return nil, o.byHand(errors.New("the item can't be read alone"))
		}
		for _, key := range slices.Sorted(maps.Keys(match)) {
			list = append(list, Field{Key: "match." + key, Value: string(match[key]), Raw: true})
		}
	}
	return slices.DeleteFunc(list, func(f Field) bool {
		return slices.ContainsFunc(than, func(t Field) bool { return t.Key == f.Key })
	}), nil
}

// change takes an item out of a text, and puts another one in its place unless that is nil.
func change(text string, at Place, item *Item) (string, error) {
	o, err := open(text, at)
	if err != nil {
		return "", err
	}
	after := o.text[:o.cutFrom] + o.text[o.cutTo:]
	if p, _ := form.Read([]byte(after)); p == nil || !reflect.DeepEqual(besides(o.policy, &at), besides(p, nil)) {
		return "", o.byHand(errors.New("the form does not understand the text there"))
	}
	if item == nil {
		return after, nil
	}
	if commented(o.text[o.from:o.to]) {
		return "", o.byHand(errors.New("there are comments within the item"))
	}
	written := item.String()
	if o.dash >= 0 {
		written = strings.Repeat(" ", o.dash) + "- " + written
	}
	after = o.text[:o.from] + written + o.text[o.to:]
	if p, _ := form.Read([]byte(after)); p != nil && !reflect.DeepEqual(besides(o.policy, &at), besides(p, &at)) {
		return "", o.byHand(errors.New("the form does not understand the text there"))
	}
	return after, nil
}

// besides is all that a policy says but for an item, whose place may be nil.
func besides(p *policy.Policy, at *Place) (all [3]any) {
	key := ""
	for _, f := range Items(p) {
		if at != nil && f.Place == *at {
			key = f.Item.Key
		}
	}
	kept := func(items []policy.Item) (list []policy.Item) {
		for _, i := range items {
			if i.Key != key {
				i.Key = "" // it moves up
				list = append(list, i)
			}
		}
		return list
	}
	services := func(of map[string]*policy.Service) map[string]policy.Service {
		list := map[string]policy.Service{}
		for name, s := range of {
			without := *s
			if len(s.Methods) == 0 {
				without.Methods = nil
			}
			if without.Items = kept(s.Items); !reflect.DeepEqual(without, policy.Service{}) {
				list[name] = without
			}
		}
		return list
	}
	plans := map[string]any{}
	for name, plan := range p.Plans {
		plans[name] = []any{plan.Why, services(plan.Services)}
	}
	return [3]any{services(p.Services), plans, kept(p.Lanes)}
}

// target is a text with the place of one of its items.
type target struct {
	text   string
	policy *policy.Policy
	at     Place
	line   int // of the item

	from, to       int // what another item replaces
	dash           int // the indent of the dash that from begins with; -1: without one
	cutFrom, cutTo int // what goes when the item goes
}

// byHand is an error that says where the text is to be changed.
func (o *target) byHand(why error) error {
	return fmt.Errorf("%w; change line %d by hand", why, o.line)
}

// open finds an item in a text.
func open(text string, at Place) (o *target, err error) {
	p, problems := form.Read([]byte(text))
	if p == nil {
		return nil, fmt.Errorf("the text has mistakes, which come first: %s", firstFault(problems))
	}
	o = &target{text: text, policy: p, at: at, dash: -1}
	if !strings.HasSuffix(o.text, "\n") {
		o.text += "\n"
	}
	for _, f := range Items(p) {
		if f.Place == at {
			o.line = p.Lines[f.Item.Key]
		}
	}
	if o.line == 0 {
		return nil, errors.New("the text has no such item any more")
	}
	if err := o.find(); err != nil {
		return nil, o.byHand(err)
	}
	return o, nil
}

// find finds the list of the item, and the item in it.
func (o *target) find() error {
	lines := strings.Split(strings.TrimSuffix(o.text, "\n"), "\n")
	r := region{0, len(lines), indentOf(lines, 0, len(lines))}
	path := []string{"lanes"}
	if o.at.Service != "" {
		path = Item{Plan: o.at.Plan, Service: o.at.Service, List: o.at.List}.path()
	}
	var keys []int // lines of the path
	for depth, name := range path {
		line, rest := find(lines, r, name)
		if line < 0 {
			return fmt.Errorf("%s is not written out", name)
		}
		value := strings.TrimLeft(rest, " \t")
		if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
			return o.inBraces(offsetOf(lines, line)+len(lines[line])-len(value), path[depth+1:])
		}
		if value != "" && value[0] != '#' {
			return fmt.Errorf("line %d is not written out", line+1)
		}
		end := endOf(lines, line+1, r.last, r.indent)
		keys, r = append(keys, line), region{line + 1, end, indentOf(lines, line+1, end)}
	}
	return o.inLines(lines, r, keys)
}

// inBraces finds the item in a mapping or a list in braces that begins at an offset. path is what is left of the keys.
func (o *target) inBraces(at int, path []string) error {
	for _, name := range path {
		value, err := flowValue(o.text, at, name)
		if err != nil {
			return err
		}
		if value < 0 || o.text[value] != '{' && o.text[value] != '[' {
			return fmt.Errorf("the value of %s is not written out", name)
		}
		at = value
	}
	items, err := flowItems(o.text, at)
	if err != nil {
		return err
	}
	if o.at.Index >= len(items) {
		return errors.New("the list is not written out")
	}
	i := items[o.at.Index]
	o.from, o.to = i[0], i[1]
	o.cutFrom, o.cutTo = i[0], i[1]
	switch {
	case o.at.Index+1 < len(items):
		next := o.text[i[1]:items[o.at.Index+1][0]]
		comma := strings.IndexByte(next, ',') + 1
		o.cutTo += comma + len(next[comma:]) - len(strings.TrimLeft(next[comma:], " "))
	case o.at.Index > 0:
		o.cutFrom = items[o.at.Index-1][1]
	}
	return nil
}

// inLines finds the item in a list on lines of its own. keys are the lines of the keys above.
func (o *target) inLines(lines []string, r region, keys []int) error {
	var dashes []int
	for n := r.first; n < r.last; n++ {
		if content(lines[n]) && strings.IndexFunc(lines[n], notSpace) == r.indent && lines[n][r.indent] == '-' {
			dashes = append(dashes, n)
		}
	}
	if o.at.Index >= len(dashes) {
		return errors.New("the list is not written out")
	}
	first, behind := dashes[o.at.Index], r.last
	if o.at.Index+1 < len(dashes) {
		behind = dashes[o.at.Index+1]
	}
	last := first
	for n := first; n < behind; n++ {
		if content(lines[n]) {
			last = n
		}
	}
	o.from, o.to, o.dash = offsetOf(lines, first), offsetOf(lines, last)+len(lines[last]), r.indent
	o.cutFrom, o.cutTo = o.from, o.to+1
	if value := strings.TrimLeft(lines[first][r.indent+1:], " "); strings.HasPrefix(value, "{") {
		at := o.from + len(lines[first]) - len(value)
		end, err := flowEnd(o.text, at)
		if err != nil {
			return err
		}
		o.from, o.to, o.dash = at, end, -1
	}
	if len(dashes) > 1 {
		return nil
	}
	above := 2 // the list and its service go with their last item
	if o.at.List == "allow" || o.at.List == "deny" {
		above = 1
	}
	for range min(above, len(keys)) {
		key := keys[len(keys)-1]
		if keys = keys[:len(keys)-1]; !holdsOnly(lines, key, first, last) {
			break
		}
		first = key
	}
	o.cutFrom = offsetOf(lines, first)
	return nil
}

// holdsOnly reports whether the value of the key in a line is what stands in the lines from first to last, without a
// comment.
func holdsOnly(lines []string, key, first, last int) bool {
	indent := strings.IndexFunc(lines[key], notSpace)
	if _, rest, ok := keyOf(lines[key][indent:]); !ok || strings.TrimSpace(rest) != "" {
		return false
	}
	for n := key + 1; n < endOf(lines, key+1, len(lines), indent); n++ {
		if (n < first || n > last) && strings.TrimSpace(lines[n]) != "" {
			return false
		}
	}
	return true
}
