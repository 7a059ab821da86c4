// Package chart draws the pictures of docs/benchmarks.md: curves over a
// logarithmic axis and groups of bars, as SVG that needs nothing else, looks
// the same everywhere and gives small differences in version control.
package chart
