// Command packaging makes the packages of skerry (make dist): archives, deb and rpm for each platform, man pages and
// completions from the command's own help, the licences of what is linked in, an SBOM, and the sums of all of it.
//
// The same commit gives the same bytes, wherever and whenever it is built with one version of Go: the time in the files
// is that of the commit (SOURCE_DATE_EPOCH), lists are sorted, and nothing of the host goes in. TestTwice builds in two
// directories and compares. A step that fails ends the run, and leaves no SHA256SUMS.
package main
