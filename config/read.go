package config

import (
	"fmt"
	"os"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
)

// Read reads a configuration file and checks it. It reports all errors at once, as a [*Error] with
// a line for each problem: unknown keys, with the probably intended one; values of a wrong kind;
// and the errors of [Config.Validate].
//
// In every value ${NAME} is the value of an environment variable, which must be set, ${NAME:-text}
// that of an optional one, and ${file:/path} the content of a file, without its final line break;
// $${ is a plain ${. In user, password and parameters of database.url the text is percent-encoded,
// so that it may hold any character. Nothing else is expanded, and no command is run.
//
// Durations have a unit ("30s", "3m", "500ms"), or are "none" where none is allowed; sizes are
// bytes or have a unit ("64KiB", "16MiB").
func Read(path string) (Config, error) {
	text, err := statedir.ReadNamed(path, maxConfig)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text)
}

// Sizes of the files of a configuration.
const (
	maxConfig = yamlfile.MaxFile
	maxValue  = 64 << 10 // of ${file:PATH}
)

// Parse is [Read] for a text that has been read already; path names it in errors.
func Parse(path string, text []byte) (Config, error) {
	var c Config
	doc := yamlfile.Decode(text, &c, func(key, text string) (string, error) {
		read := readValue
		if isToken(key) {
			read = readToken
		}
		return expand(text, key == urlKey, os.LookupEnv, read)
	})
	p := &problems{file: path, lines: doc.Lines}
	for _, found := range doc.Problems {
		p.add(found.Line, found.Key, "%s", found.Text)
	}
	c.check(p)
	return c, p.err()
}

// readValue reads the file of ${file:PATH}.
func readValue(path string) ([]byte, error) { return statedir.ReadNamed(path, maxValue) }
