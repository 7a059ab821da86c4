package config

import (
	"fmt"
	"os"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
)

// Read reads a configuration file and checks it. All that is wrong with
// it is reported at once, as a [*Error] with problems that bear their lines:
// unknown keys, with the one that was probably meant; values of a wrong kind;
// and what [Config.Validate] finds.
//
// In every value ${NAME} stands for an environment variable, which must be
// set, ${NAME:-text} for one that may be missing, and ${file:/path} for what a
// file holds, without its final line break; $${ is a plain ${. In user,
// password and parameters of database.url the text is percent-encoded, so that
// it may hold any character. Nothing else is expanded, and no command is run.
// Durations are written
// with a unit ("30s", "3m", "500ms"), or "none" where none makes
// sense; sizes as bytes or with a unit ("64KiB", "16MiB").
func Read(path string) (Config, error) {
	text, err := statedir.ReadNamed(path, maxConfig)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text)
}

// Sizes of the files that a configuration consists of.
const (
	maxConfig = yamlfile.MaxFile
	maxValue  = 64 << 10 // of ${file:PATH}
)

// Parse is [Read] for a text that was read already; path names it
// in errors.
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

// readValue reads what stands for ${file:PATH}.
func readValue(path string) ([]byte, error) { return statedir.ReadNamed(path, maxValue) }
