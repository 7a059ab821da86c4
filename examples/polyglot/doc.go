// Package polyglot is the example of a portal in four languages: Portal in Node.js, Auth in Java, Proc in Python and DB
// in C++. Each is a program on its stock Thrift library and a helper of lang/, beside a skerry proxy. README.md says
// how to run it.
//
// The tests release the Java Auth together with the Python Proc under load. Each program writes a line when a call
// begins, so that even kill -9 hides no execution. The checker of rollout/rollouttest judges what the lines say.
package polyglot

//go:generate ./generate.sh
