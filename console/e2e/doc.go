// Package e2e looks at the console as a browser does. Its tests start the portal
// of the examples on three make-believe hosts, with calls that go on, then skerry
// console and Debian's Chromium, all in a network namespace that has nothing but a
// loopback interface: a page that asks for anything beyond the console fails.
//
// Which pages there are is read from the pages themselves, by their links, and
// held against console/routes.go: a new page is looked at without a change here.
//
// The page of examples/historian is opened, too: streams by Server-Sent Events and a WebSocket, and their resumption.
//
// It is a module of its own, so that programs that use skerry do not download what
// drives a browser. Package stage has the site and the browser, pictures makes the
// pictures of the documentation. scripts/setup installs Chromium and axe-core.
package e2e
