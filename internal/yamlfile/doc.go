// Package yamlfile is the one reader of YAML files: the configuration, the
// manifest of a release and the list of announce.
//
// The library parses, this package decodes: into structs with yaml tags, maps,
// lists and scalars. It goes on after a mistake, so that a person mends all in
// one go, and every problem has its line and its key: unknown keys with the
// one that was probably meant, keys that stand twice, values of a wrong kind.
//
//   - A scalar is the text that stands in the file: version: 1.10 stays "1.10",
//     007 stays "007".
//   - Durations have a unit; sizes may have one (tag unit:"bytes").
//   - A number that its field's default tag would replace is refused when it
//     stands in the file as 0.
//   - Keys of a mapping win over those that it merges (<<), wherever the merge
//     stands; of several merged mappings (<<: [*a, *b]) the earlier wins.
//   - A byte order mark is passed over, UTF-16 and GBK are refused by name.
//
// # Limits
//
// Files are read up to [MaxFile] bytes. Values nest 64 levels deep, a mapping
// has up to 10,000 keys, and aliases bring up to 100,000 values: a short file
// can't become a large one. Of many problems the first 100 are reported.
//
// All functions may be called from any goroutine. The package is floor 1.
package yamlfile
