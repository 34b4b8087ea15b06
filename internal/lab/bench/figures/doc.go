// Package figures turns what the benchmarks measured into numbers, a table, JSON
// and a plot. It is pure: no clock, no file, no network.
//
// A [Sample] is a list of values of one measure for one contender. A [Row] is
// what the table says of a measure: one figure per contender, their ratio, and
// the target the ratio or the figure is to reach. Nothing here judges beyond
// printing whether a target was met: a benchmark has no verdict on a machine it
// does not know.
package figures
