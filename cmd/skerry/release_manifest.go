package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
)

// manifestFile is read if it exists and --file names no file.
const manifestFile = "release.yaml"

// readManifest reads the modules of a release. Without a path the manifest may be missing.
func readManifest(path string) (map[string]releases.Module, error) {
	var text []byte
	var err error
	if path == "" {
		text, err = readFound(manifestFile) // the file may name a command
	} else {
		text, err = statedir.ReadNamed(path, maxFile)
	}
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, quote.Errorf("read the manifest: %w", err)
	}
	var m struct {
		Modules map[string]releases.Module `yaml:"modules"`
	}
	if err := yamlfile.Unmarshal(cmp.Or(path, manifestFile), text, &m); err != nil {
		return nil, quote.Errorf("read the manifest: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Modules)) {
		mod := m.Modules[name]
		if err := mod.CheckAll(name); err != nil {
			return nil, fmt.Errorf("manifest %s: module %s: %w", cmp.Or(path, manifestFile), name, err)
		}
	}
	return m.Modules, nil
}

func keysOf[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }
