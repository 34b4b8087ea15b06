// Package sim runs virtual routers on a network that exists in memory only.
// Nothing in it is left to chance: the same calls give the same timeline. The
// routers are the very ones of the product, and their advertisements pass
// through the wire format.
//
//	n := sim.New()
//	a := n.AddNode("a", sim.Router(100))
//	b := n.AddNode("b", sim.Router(90))
//	n.Run(5 * time.Second)
//	n.Crash(a)
//	n.Run(4 * time.Second)
//	n.Holders(0) // b
//
// [Play] makes a whole story from a seed instead: a network (scenario.go), what
// goes wrong in it (faults.go, crashes.go), and a judge who knows what RFC 9568
// §6.4 and RFC 3768 §6.4 never allow (judge.go), that somebody serves the
// addresses while they change hands (service.go), and how it must end
// (settle.go). Nodes have clocks of their own, and kernels that keep addresses
// longer than a process lives (addresses.go); what the network does happens in
// the time of the network.
package sim
