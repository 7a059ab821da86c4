// Package config is what a node is told: the shape of skerry.yaml, its
// defaults, its checks, and the TLS files that it names.
//
// # Model
//
// [Config] is one struct for a file and for Go code. The zero value of a field
// means its default, which stands in the struct tag. [Read] decodes a file,
// expands variables and reports everything that is wrong as one [*Error], each
// [Problem] with its line. [Config.WithDefaults] writes the defaults out.
//
// # Failure
//
// A mistake never passes in silence: an unknown key, a value of a wrong kind
// and a combination that can't work are errors that say what to do. No
// password and no site key is part of an error.
//
// # Tests
//
// A test keeps the table of docs/configuration.md equal to the tags, another
// validates every default, and a fuzz test reads arbitrary files.
package config
