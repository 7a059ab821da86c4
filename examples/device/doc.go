// Package device is the example of a service of which two versions may never
// run at once: it owns a device. Pump moves a pump; the device is a file with
// an exclusive lock, which screams when it is opened twice.
//
// cmd/pump is the service, cmd/demo releases it under load, twice by skerry
// release and once as people do without it. README.md tells the whole story.
package device

//go:generate ./generate.sh
