// Command bench measures vrrpd side by side with keepalived, in network
// namespaces of this machine: how long a takeover takes beyond what the protocol
// asks for, what many routers cost, what load, floods and planned changes do.
// docs/performance.md says how each figure comes about.
//
//	make bench                                  everything, within eight minutes
//	make bench BENCH=crash,cpu RUNS=20          some of it, more often
//	make bench PROFILE=full                     longer, for figures worth keeping
//
// Both run on the same hosts with equivalent configurations, in turns. The only
// clock is the kernel's time stamp of what crosses the switch ([lab.Recorder]).
// It prints a table, writes it with all single values as JSON, and a plot. It
// exits 0 whatever the figures are, and 1 only if something could not be measured.
package main
