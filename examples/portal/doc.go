// Package portal is the example of four services that find each other by
// name: Portal takes a request, gets a token from Auth, calls Proc with it;
// Proc lets Auth verify the token and reads DB.
//
// The programs are under cmd, one directory each with the skerry.yaml that it
// is started with; the interfaces are in idl, and gen holds the code that the
// stock Thrift compiler makes of them. README.md says how to run it all, with
// clients in Python and Node.js and a provider in Python.
package portal

//go:generate ./generate.sh
