// Package daemon is the loop that owns every virtual router, and the glue
// between the rooms of the house.
//
// One goroutine, locked to its thread, runs the [engine]: it reads
// advertisements, fires timers, steps the routers and sends what they ask
// for. It never waits for anything else. Netlink, checks, notifications, the
// journal and the operator's requests live in goroutines of their own; what
// they have to say reaches the loop as functions that it runs between two
// packets (loop.do), and what the loop has to say reaches them through orders
// and queues that never block.
//
// Within one turn of the loop the order is fixed: packets first, then timers,
// then requests; then every advertisement leaves, and only then addresses are
// moved and people are told. So the advertisements of all routers that take
// over together come before the first address, and a thousand addresses delay
// nothing.
package daemon
