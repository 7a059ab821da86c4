package yamlfile

import (
	"fmt"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file. The parser calls itself for each level and for each "?", and compares every key of a
// mapping with all others.
const (
	maxDepth   = 64
	maxKeys    = 10_000  // of a mapping
	maxTokens  = 300_000 // words and marks
	maxMarked  = 100     // keys with "?" in front
	maxAliased = 100_000 // values that aliases and merges add
	maxCopied  = 4 << 20 // bytes of the texts among them
	maxShown   = 100     // reported problems
)

// oversized returns a problem if the parser would take too long for the text.
func oversized(text string) *Problem {
	var nest, chain int        // open brackets; marks of levels in a row
	var columns [maxKeys]int32 // keys of the open block mappings by column
	deepest, marked := 0, 0
	for n, t := range lexer.Tokenize(text) {
		if t.Type == token.MappingKeyType {
			marked++
		}
		switch {
		case n == maxTokens:
			return problemAt(t, "more than %d words and marks", maxTokens)
		case marked > maxMarked:
			return problemAt(t, `more than %d keys with "?" in front`, maxMarked)
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			nest++
		case token.SequenceEndType, token.MappingEndType:
			nest--
		}
		chain = chained(t, chain)
		if nest > maxDepth || chain > maxDepth {
			return problemAt(t, "nested deeper than %d levels", maxDepth)
		}
		key := t
		if t.Type == token.MappingValueType {
			key = t.Prev
		}
		isKey, isItem := t.Type == token.MappingValueType && nest == 0 && key != nil, t.Type == token.SequenceEntryType
		if !isKey && !isItem {
			continue
		}
		column := min(max(key.Position.Column, 0), maxKeys-1)
		for ; deepest > column; deepest-- {
			columns[deepest] = 0
		}
		deepest = column
		if isKey {
			columns[column]++
		}
		if columns[column] > maxKeys {
			return problemAt(t, "a mapping of more than %d keys", maxKeys)
		}
	}
	return nil
}

func problemAt(t *token.Token, format string, args ...any) *Problem {
	return &Problem{Line: t.Position.Line, Column: t.Position.Column, Text: fmt.Sprintf(format, args...)}
}

// chained counts the marks that open a level each, in a row: "- - -", "? ?", "&a &b". Two anchors
// have a name between them.
func chained(t *token.Token, before int) int {
	switch t.Type {
	case token.SequenceEntryType:
		if t.Prev != nil && t.Prev.Position.Line != t.Position.Line {
			return 1
		}
		return before + 1
	case token.MappingKeyType, token.AnchorType, token.TagType:
		return before + 1
	case token.StringType:
		if t.Prev != nil && t.Prev.Type == token.AnchorType {
			return before
		}
	}
	return 0
}
