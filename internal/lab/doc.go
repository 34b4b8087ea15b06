// Package lab makes small clusters in network namespaces on one machine: hosts
// joined by a switch, daemons running on them, a client that measures what it
// would notice, and a sniffer on the wire. `make demo`, the integration tests
// and the benchmarks stand on it.
//
// A program enters the lab once, first thing it does:
//
//	func TestMain(m *testing.M) { lab.Main(m) }
//
// From then on it runs as a child of itself in fresh user (unless root), pid,
// mount and network namespaces. The pid namespace ends with that process, and
// the network namespaces of the hosts are held by descriptors alone, so nothing
// outlives the program in whatever way it ends, and nothing it does reaches the
// machine's own interfaces.
//
//	l := lab.New(t)
//	sw := l.Switch("lan")
//	a := sw.Host("a", "192.0.2.1/24", "2001:db8::1/64") // its interface is eth0
//	client := sw.Host("client", "192.0.2.9/24")
//	r := lab.Router{VRID: 51, Priority: 100, Addresses: []string{"192.0.2.100/24"}}
//	daemon := a.Keepalived(r)
//	echo := client.Echo("192.0.2.100", 1000) // requests a second
//	daemon.Kill()
//	fmt.Println(echo.Stop().LongestGap)
//
// What goes wrong in the lab itself (a namespace that cannot be made, a command
// that is missing) ends the test through [T.Fatalf]: it is never an outcome.
//
// Kernel features that the machine lacks, the bonding driver above all, are had
// by running the test inside a User-Mode Linux guest: see [InUML].
package lab
