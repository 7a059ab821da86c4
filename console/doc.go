// Package console serves web pages that show a site, and by which an operator changes it.
//
// # Model
//
// A [site] tells what is known of the site, in a [snapshot]. Pages are made of a snapshot on the server, by templates
// in the catalogue's language, and work without JavaScript. Every page exists as JSON, too: ?format=json.
//
// [live] is the site on a node of skerry. It asks the processes only while pages are open, and keeps an hour of figures
// in memory.
//
// # Adding a page
//
// A page is a row of the table in routes.go, a file that makes its content of a snapshot, a template in web, and the
// section of its name in both files of the console in internal/words.
//
// # Adding an action
//
// What a page offers to do is a row of the table in actions.go. The frame there checks what all actions have in common.
//
// # Security
//
// The handler refuses names of hosts that are not its own, requests from other origins, and every method but GET and
// HEAD, and POST to the paths of actions by forms of a session's own pages. Its answers let the browser load nothing
// from elsewhere. See docs/security.md.
//
// # Tests
//
// Pages are made of sites in memory, also of a very large one.
package console
