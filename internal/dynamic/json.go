package dynamic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/skerry/skerry/internal/textfile"
)

// maxDepth is how deep values may nest, in JSON and in Thrift.
const maxDepth = 64

// node is a JSON value with the parts that encoding/json drops: the order of members, duplicates,
// and the digits of numbers. value is nil, bool, string, json.Number, []node or []member.
type node struct{ value any }

type member struct {
	name string
	node node
}

// parseJSON reads exactly one JSON value.
func parseJSON(data []byte) (node, error) {
	data, err := textfile.UTF8(data) // the decoder would replace other bytes by U+FFFD
	if err != nil {
		return node{}, fmt.Errorf("JSON at %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	n, err := parseNode(d, 0)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more follows after the value")
		}
	}
	if err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	offset := d.InputOffset()
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = s.Offset
	}
	line, column := position(data, offset)
	return node{}, fmt.Errorf("JSON at line %d, column %d: %w", line, column, err)
}

func position(data []byte, offset int64) (line, column int) {
	before := data[:min(int(offset), len(data))]
	return 1 + bytes.Count(before, []byte("\n")), max(1, len(before)-1-bytes.LastIndexByte(before, '\n'))
}

func parseNode(d *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return node{}, err
	}
	switch token {
	case json.Delim('['):
		list := []node{}
		for d.More() {
			n, err := parseNode(d, depth+1)
			if err != nil {
				return node{}, err
			}
			list = append(list, n)
		}
		_, err = d.Token()
		return node{list}, err
	case json.Delim('{'):
		return parseObject(d, depth)
	}
	return node{token}, nil
}

func parseObject(d *json.Decoder, depth int) (node, error) {
	members, seen := []member{}, map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return node{}, err
		}
		name := key.(string) // the decoder accepts only strings as keys
		if seen[name] {
			return node{}, fmt.Errorf("%q stands twice in one object", name)
		}
		seen[name] = true
		n, err := parseNode(d, depth+1)
		if err != nil {
			return node{}, err
		}
		members = append(members, member{name, n})
	}
	_, err := d.Token()
	return node{members}, err
}

// kind is the value's type, for errors.
func (n node) kind() string {
	switch v := n.value.(type) {
	case nil:
		return "null"
	case bool:
		return "the boolean " + strconv.FormatBool(v)
	case string:
		return fmt.Sprintf("the string %.40q", v)
	case json.Number:
		return "the number " + v.String()
	case []node:
		return "an array"
	}
	return "an object"
}
