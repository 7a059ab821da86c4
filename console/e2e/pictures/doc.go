// Pictures makes a picture of each page of the console, in both languages, both themes, and on a wide and a narrow
// window, of a running site: while all is well, and after one instance of db has died and the other one stands still
// again and again. It is what make console-pictures runs.
//
//	go run ./pictures [-after 10m] [-docs ../../docs/pictures] DIR
package main
