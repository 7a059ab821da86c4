// Package device is the example of a service that owns a device, so two versions of it must never
// run at once. Pump moves a pump. The device is a file with an exclusive lock, which screams when
// it is opened twice.
//
// cmd/pump is the service. cmd/demo releases it under load, twice by skerry release and once by a
// plain restart. README.md describes the example.
package device

//go:generate ./generate.sh
