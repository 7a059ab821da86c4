package skerry

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/skerry/skerry/internal/statedir"
)

// ReadConfig reads a configuration file and checks it. All that is wrong with
// it is reported at once, as a [*ConfigError] whose problems bear their lines:
// unknown keys, with the one that was probably meant; values of a wrong kind;
// and what [Config.Validate] finds.
//
// In every value ${NAME} stands for an environment variable, which must be
// set, ${NAME:-text} for one that may be missing, and ${file:/path} for what a
// file holds, without its final line break; $${ is a plain ${. In user,
// password and parameters of database.url the text is percent-encoded, so that
// it may hold any character. Nothing else is expanded, and no command is run.
// Durations are
// written with a unit ("30s", "3m", "500ms"), or "none" where none makes
// sense; sizes as bytes or with a unit ("64KiB", "16MiB").
func ReadConfig(path string) (Config, error) {
	text, err := statedir.ReadNamed(path, maxConfig)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return ParseConfig(path, text)
}

// Sizes of the files that a configuration consists of.
const (
	maxConfig = 1 << 20
	maxValue  = 64 << 10 // of ${file:PATH}
)

// ParseConfig is [ReadConfig] for a text that was read already; path names it
// in errors.
func ParseConfig(path string, text []byte) (Config, error) {
	var c Config
	p := &problems{file: path, lines: map[string]int{}}
	if root := parseYAML(p, text); root != nil {
		d := decoder{problems: p, anchors: map[string]ast.Node{}, env: os.LookupEnv, readFile: readValue}
		d.value(root, reflect.ValueOf(&c).Elem(), "", "")
	}
	c.check(p)
	return c, p.err()
}

// readValue reads what stands for ${file:PATH}.
func readValue(path string) ([]byte, error) { return statedir.ReadNamed(path, maxValue) }

// parseYAML returns the document, nil when it is empty or is none.
func parseYAML(p *problems, text []byte) ast.Node {
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // the decoder reports duplicates with their keys
	if err != nil {
		line, message := 0, err.Error()
		var y yaml.Error
		if errors.As(err, &y) {
			line, message = y.GetToken().Position.Line, y.GetMessage()
		}
		hint := ""
		if strings.Contains(string(text), "\t") {
			hint = "; YAML is indented with spaces, never with tabs"
		}
		p.add(line, "", "no YAML: %s%s", message, hint)
		return nil
	}
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			p.add(doc.Body.GetToken().Position.Line, "", "a second document; a configuration is one")
		default:
			root = doc.Body
		}
	}
	return root
}
