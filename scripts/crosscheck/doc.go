// Crosscheck type-checks every package of the module, with its tests, for other systems than this one.
//
//	go run ./scripts/crosscheck linux/arm64 windows/amd64
//
// It finds what a compiler would refuse: a file that a system lacks, a constant that 32 bits can't hold, a name that is
// declared twice. It makes no code, which would take most of the time. scripts/cross compiles and links what hosts of
// such systems run.
//
// A source file is parsed once for all targets. Bodies of functions are checked in this module only.
package main
