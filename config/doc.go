// Package config is the configuration of a node: the shape of skerry.yaml, its defaults, its checks, and the TLS
// files that it names.
//
// # Model
//
// [Config] is one struct for a file and for Go code. The zero value of a field means its default, which the
// struct tag states. [Read] decodes a file, expands variables and reports all errors as one [*Error], each
// [Problem] with its line. [Config.WithDefaults] fills in the defaults.
//
// # Failure
//
// Every mistake is reported: an unknown key, a value of a wrong kind and a combination that can't work are errors
// that name the remedy. No error contains a password or a site key.
//
// # Tests
//
// A test keeps the table of docs/configuration.md equal to the tags, another validates every default, and a fuzz
// test reads arbitrary files.
package config
