package lab

// T is what a lab needs of a test; a benchmark's command brings its own. Fatal
// and Fatalf do not return.
type T interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
