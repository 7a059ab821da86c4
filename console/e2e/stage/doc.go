// Package stage has what the tests and the pictures of the console share: a
// namespace without a network, a site in it, and a browser.
package stage
