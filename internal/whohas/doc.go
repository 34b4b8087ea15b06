// Package whohas asks over one interface whether an address answers: by ARP
// (RFC 826) for IPv4, by neighbour solicitation (RFC 4861 §7.2) for IPv6.
//
//	p, err := whohas.Open(whohas.Question{Interface: "bond0", Target: gateway})
//	go p.Receive(func(a whohas.Answer) { … })
//	p.Ask()
//	…
//	p.Close() // ends Receive
//
// Unlike an ICMP echo that is answered by whoever has the address, whatever its
// firewall says, and it passes nothing but the interface and its switch: what a
// failover of the links underneath is about. Whom to ask is found by Gateway.
package whohas
