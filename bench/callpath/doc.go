// Package callpath measures one unary call through skerry and through each
// of its rivals: a server and a client process for each measurement, in
// interleaved rounds, reported as medians and as ratios within a round.
package callpath
