// Package healthcheck runs check commands and says what their results mean.
//
// A [Check] runs one command every interval, smooths its results with rise and
// fall ([Counter]) and reports each run ([Result]). What a verdict does to a
// virtual router is plain arithmetic apart from that: [Contribution],
// [Effective] and [Assess] know nothing of processes or clocks.
//
//	if err := healthcheck.Vet(spec.Command, spec.RunAs); err != nil {
//		return err // a configuration error: missing, unsafe or not executable
//	}
//	c := healthcheck.New(spec, func(r healthcheck.Result) { events <- r })
//	go c.Run(ctx)
//	...
//	parts, faults, holds := healthcheck.Assess(tracked)
//	priority := healthcheck.Effective(base, parts)
//
// Commands run through [Execute], which notification commands may use as well.
// There is no shell. A command gets /dev/null as its input, a clean
// environment, "/" as its directory, an identity of its own and a process
// group of its own. The group is killed at the timeout, and whatever is left of
// it when the command itself exits. Output beyond a limit is read and thrown
// away. A command whose process has left the group with setsid(2) keeps
// nothing waiting, but only a cgroup ([Cgroups]) catches it. A program that may be
// the first process of a container reaps the orphans of commands with [Reap].
//
// Children inherit the scheduling policy and the CPU affinity of whichever
// thread forks them. A program that gives one of its threads real-time priority
// sets SCHED_RESET_ON_FORK with it (sched(7)), or its checks may run with it.
//
// RFC 9568 (section 5.2.4) leaves open where a priority between 1 and 254 comes
// from; weights decide it here, within the bounds it sets. Priority 255 stands
// for the owner of the addresses and is never touched.
package healthcheck
