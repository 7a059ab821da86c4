// Package build is three small Thrift services, each with the recipe by which skerry build makes an artifact of it: in
// Python, C++ with CMake, and Node.js. Each directory is what the service's repository holds, with hello.thrift and the
// libraries beside it.
//
// The test builds each of them twice, without a network, and wants the same artifact.
package build
