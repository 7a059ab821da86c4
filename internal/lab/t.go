package lab

// T is the part of a test that a lab needs. A benchmark's command implements its own. Fatal and
// Fatalf do not return.
type T interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
