// Package yamlfile is the one reader of YAML files: the configuration, the manifest of a release and the list of
// announce.
//
// # Model
//
// The library parses, this package decodes: into structs with yaml tags, maps, lists and scalars.
//
//   - A scalar is the text in the file: version: 1.10 stays "1.10", 007 stays "007".
//   - Durations have a unit; sizes may have one (tag unit:"bytes").
//   - A 0 in the file is refused for a number that its field's default tag would replace.
//   - Keys of a mapping win over those that it merges (<<), wherever the merge is; of several merged mappings
//     (<<: [*a, *b]) the earlier wins.
//   - A field of type [JSON] takes any value, as JSON with its keys sorted.
//   - A byte order mark is skipped, UTF-16 and GBK are refused by name.
//
// # Failure
//
// The decoder goes on after a mistake, so that one edit can correct all. Every problem has its line, its column and
// its key: unknown keys with the probably intended one, duplicate keys, values of a wrong kind. Of many problems the
// first 100 are reported.
//
// # Limits
//
// Files are read up to [MaxFile] bytes, with up to 300,000 words and marks. Values nest 64 levels deep, a mapping has
// up to 10,000 keys, and aliases add up to 100,000 values and 4 MiB of text: a short file can't become a large one.
//
// All functions may be called from any goroutine. The package is floor 1.
package yamlfile
