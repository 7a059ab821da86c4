package sshsig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Operator is one line of the file of operators.
type Operator struct {
	Name       string
	Key        PublicKey
	Namespaces []string // as written: names and patterns with * and ?
	Comment    string
	Line       int
}

// May reports whether the operator's signatures count in the namespace.
func (o Operator) May(namespace string) bool {
	return slices.ContainsFunc(o.Namespaces, func(pattern string) bool {
		return match(pattern, namespace) || namespace == Promise && match(pattern, Release)
	})
}

// Operators are the keys that a process trusts now.
type Operators struct {
	now atomic.Pointer[operatorState]
	mu  sync.Mutex // for writers
}

type operatorState struct {
	list    []Operator
	byKey   map[PublicKey]int
	changed chan struct{}
}

// NewOperators returns the operators of a list, as ParseOperators reads it.
func NewOperators(list ...Operator) *Operators {
	o := &Operators{}
	o.now.Store(newState(list))
	return o
}

func newState(list []Operator) *operatorState {
	s := &operatorState{list: slices.Clone(list), byKey: map[PublicKey]int{}, changed: make(chan struct{})}
	for i, op := range s.list {
		s.byKey[op.Key] = i
	}
	return s
}

// Find is the name of the operator with this key. It reports false when no operator has the key, or
// its line does not name the namespace.
func (o *Operators) Find(key PublicKey, namespace string) (name string, ok bool) {
	s := o.now.Load()
	i, known := s.byKey[key]
	if !known || !s.list[i].May(namespace) {
		return "", false
	}
	return s.list[i].Name, true
}

// List is every operator, in the order of the file. The caller must not change it.
func (o *Operators) List() []Operator { return o.now.Load().list }

// Names are the operators' names, in the order of the file.
func (o *Operators) Names() []string {
	var names []string
	for _, op := range o.List() {
		names = append(names, op.Name)
	}
	return names
}

// Set replaces the operators.
func (o *Operators) Set(list []Operator) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.now.Load()
	if slices.EqualFunc(old.list, list, same) {
		return
	}
	o.now.Store(newState(list))
	close(old.changed)
}

func same(a, b Operator) bool {
	return a.Name == b.Name && a.Key == b.Key && slices.Equal(a.Namespaces, b.Namespaces) && a.Comment == b.Comment &&
		a.Line == b.Line
}

// Changed returns a channel that is closed when the operators change. A caller that takes the
// channel before it reads the operators misses no change.
func (o *Operators) Changed() <-chan struct{} { return o.now.Load().changed }

const (
	maxOperators = 1000
	// MaxFile bounds a file of operators, in bytes.
	MaxFile = 256 << 10
)

// ErrNone: the file has no line of an operator.
var ErrNone = errors.New("it names no operator")

// ParseOperators reads a file in OpenSSH's form of allowed_signers:
//
//	li namespaces="skerry-release,skerry-promise" ssh-ed25519 AAAA… li@ops-1
//
// The errors name file and line.
func ParseOperators(file, text string) ([]Operator, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s: it has %d bytes, at most %d are read", file, len(text), MaxFile)
	}
	var list []Operator
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		op, err := parseOperator(line)
		if err == nil {
			err = unlike(list, op)
		}
		if err == nil && len(list) == maxOperators {
			err = fmt.Errorf("more than %d operators", maxOperators)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		op.Line = i + 1
		list = append(list, op)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w; add one with: skerry operator add NAME KEY.pub", file, ErrNone)
	}
	return list, nil
}

// unlike refuses a name or key that is already in the list: a signature names one operator.
func unlike(list []Operator, op Operator) error {
	for _, other := range list {
		switch {
		case other.Name == op.Name:
			return fmt.Errorf("the operator %s stands in line %d already; give a second key a name of its own, such "+
				"as %s-2",
				op.Name, other.Line, op.Name)
		case other.Key == op.Key:
			return fmt.Errorf("the key of %s is the one of %s in line %d; each operator has an own key",
				op.Name, other.Name, other.Line)
		}
	}
	return nil
}

func parseOperator(line string) (op Operator, err error) {
	if len(line) > maxKeyLine {
		return op, fmt.Errorf("the line has %d bytes, at most %d are read", len(line), maxKeyLine)
	}
	name, rest := cutWord(line)
	if op.Name, err = operatorName(name); err != nil {
		return op, err
	}
	options, key := cutWord(rest)
	if looksLikeKey(options) {
		options, key = "", rest
	}
	if op.Namespaces, err = parseOptions(options); err != nil {
		return op, err
	}
	if op.Key, op.Comment, err = ParsePublicKey(key); err != nil {
		return op, err
	}
	if len(op.Namespaces) == 0 {
		return op, fmt.Errorf("the line does not say what %s may sign; write %s namespaces=%q %s …",
			op.Name, op.Name, strings.Join(Namespaces, ","), keyType)
	}
	return op, nil
}

// Namespaces are the namespaces of a new operator: all of them.
var Namespaces = []string{Release, Promise, Policy, Plan}

// Format is the operator's line. It refuses an operator that ParseOperators would refuse.
func (o Operator) Format() (string, error) {
	line := fmt.Sprintf("%s namespaces=%q %s", o.Name, strings.Join(o.Namespaces, ","), o.Key)
	if o.Comment != "" {
		line += " " + o.Comment
	}
	back, err := parseOperator(line)
	if err != nil {
		return "", err
	}
	back.Line = o.Line
	if !same(back, o) {
		return "", fmt.Errorf("the operator %q can't be written in one line", o.Name)
	}
	return line, nil
}

// operatorName checks the first word of a line, which may be quoted.
func operatorName(word string) (string, error) {
	if len(word) > 1 && word[0] == '"' && word[len(word)-1] == '"' {
		word = word[1 : len(word)-1]
	}
	bad := strings.IndexFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune(".-_@+", r))
	})
	switch {
	case word == "" || len(word) > 64:
		return "", fmt.Errorf("an operator's name has 1 to 64 characters, not %d", len(word))
	case strings.ContainsAny(word, "*?!,"):
		return "", fmt.Errorf("%q is a pattern or a list, and a line here is for one operator with one plain name",
			word)
	case bad >= 0 || word[0] == '-':
		return "", fmt.Errorf("%q is no name of an operator: use letters, digits and . - _ @ +, beginning with none "+
			"of -", word)
	case strings.HasPrefix(word, "ssh-") || strings.HasPrefix(word, "sk-ssh-"):
		return "", fmt.Errorf("the line begins with %q; the operator's name comes first", word)
	}
	return word, nil
}

// parseOptions reads the word between name and key.
func parseOptions(options string) (namespaces []string, err error) {
	for options != "" {
		var option string
		option, options = cutOption(options)
		name, value, _ := strings.Cut(option, "=")
		switch strings.ToLower(name) {
		case "namespaces":
			if namespaces != nil {
				return nil, errors.New("namespaces stands twice in the line")
			}
			if namespaces, err = parseNamespaces(value); err != nil {
				return nil, err
			}
		case "valid-after", "valid-before":
			return nil, fmt.Errorf("%s is not taken: processes with different clocks would disagree; take the line "+
				"out when the key ends", name)
		case "cert-authority":
			return nil, errors.New("cert-authority is not taken: write a line for each operator's own key")
		default:
			return nil, fmt.Errorf("the option %.40q is not known; known is namespaces=\"…\"", name)
		}
	}
	return namespaces, nil
}

func parseNamespaces(value string) ([]string, error) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return nil, fmt.Errorf("namespaces are written in quotes: namespaces=%q", strings.Join(Namespaces, ","))
	}
	list := strings.Split(value[1:len(value)-1], ",")
	for _, n := range list {
		if n == "" || len(n) > maxNamespace ||
			strings.ContainsFunc(n,
				func(r rune) bool { return r <= ' ' || r > '~' || r == '!' || r == '"' || r == '\\' }) {
			return nil, fmt.Errorf("%.70q is no namespace; write names such as %s, and patterns with * at most",
				n, Release)
		}
	}
	return list, nil
}

// cutWord returns the first word, in which quotes keep blanks together, and the rest.
func cutWord(text string) (word, rest string) {
	text = strings.TrimLeft(text, " \t")
	end := endOf(text, " \t")
	return text[:end], strings.TrimLeft(text[end:], " \t")
}

func cutOption(text string) (option, rest string) {
	end := endOf(text, ",")
	return text[:end], strings.TrimPrefix(text[end:], ",")
}

// endOf is the index of the first of the separators outside of quotes.
func endOf(text, separators string) int {
	quoted := false
	for i := range len(text) {
		if text[i] == '"' {
			quoted = !quoted
		}
		if !quoted && strings.IndexByte(separators, text[i]) >= 0 {
			return i
		}
	}
	return len(text)
}

func looksLikeKey(word string) bool {
	return strings.HasPrefix(word, "ssh-") || strings.HasPrefix(word, "ecdsa-") || strings.HasPrefix(word, "sk-")
}

// match compares a text with a pattern in which * stands for any characters and ? for one. Its time
// is proportional to the product of the lengths.
func match(pattern, text string) bool {
	p, t, star, from := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
