package yamlfile

import "github.com/goccy/go-yaml/ast"

// entry is one key of a mapping with its value.
type entry struct {
	name   string
	key    ast.Node
	value  ast.Node
	merged bool // from another mapping, by <<
}

// entries are the mapping's own entries, in the order of the file, then merged entries with other
// names.
func (d *decoder) entries(m ast.MapNode, key string) []entry {
	var all []entry
	var merge ast.Node
	line := map[string]int{} // of the used names
	for it := m.MapRange(); it.Next(); {
		if it.Key().IsMergeKey() {
			if merge != nil {
				d.add(placeOf(it.Key()), key, "<< stands twice; merge several mappings by <<: [*a, *b]")
				continue
			}
			merge = it.Value()
			continue
		}
		name, ok := d.name(it.Key(), key)
		if !ok {
			continue
		}
		if first, twice := line[name]; twice {
			if d.depth == 0 { // a merged mapping has been checked already
				d.add(placeOf(it.Key()), joinKey(key, name), "stands twice; the first is in line %d", first)
			}
			continue
		}
		line[name] = placeOf(it.Key()).line
		all = append(all, entry{name, it.Key(), it.Value(), false})
	}
	for _, e := range d.merged(merge, key) {
		if _, own := line[e.name]; !own {
			line[e.name] = placeOf(e.key).line
			all = append(all, e)
		}
	}
	return all
}

// merged are the entries of the mappings behind <<, the earlier ones first.
func (d *decoder) merged(node ast.Node, key string) []entry {
	if node == nil {
		return nil
	}
	d.depth++
	defer func() { d.depth-- }()
	from := d.bare(node, key)
	sources := []ast.Node{from}
	if seq, ok := from.(*ast.SequenceNode); ok {
		sources = seq.Values
	}
	var all []entry
	for _, source := range sources {
		if source == nil || d.full {
			continue
		}
		source = d.bare(source, key)
		if source == nil {
			continue
		}
		m, ok := source.(ast.MapNode)
		if !ok {
			d.add(placeOf(node), key, "<< merges keys and values (*name) or a list of such, got %s", gotOf(source))
			continue
		}
		for _, e := range d.entries(m, key) {
			if !d.spend(e.value) {
				return all
			}
			e.merged = true
			all = append(all, e)
		}
	}
	return all
}

// name is the text of a key.
func (d *decoder) name(node ast.Node, key string) (string, bool) {
	bare := d.bare(node, key)
	if bare == nil {
		return "", false
	}
	text, ok := scalarText(bare)
	if !ok {
		d.add(placeOf(node), key, "a key is a text, got %s", gotOf(bare))
	}
	return text, ok
}
