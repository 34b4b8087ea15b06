// Package vip keeps the virtual addresses of a node as they are wanted, and
// tells the neighbours about them.
//
// A [Keeper] is told, owner by owner, which addresses must be present (while a
// virtual router is Active) or absent (at any other time). It computes the
// difference between that and the kernel, applies it in batches, announces
// every address right after it is installed (while the next ones are being
// added), and does it again whenever
// somebody else changes the kernel underneath: addresses that were removed are
// put back, an interface that is absent is waited for, an address found on a
// node that is not Active is removed.
//
//	k, err := vip.New(func(e vip.Event) { … })
//	go k.Run(ctx)
//	k.Set("web", vip.Want{Addresses: addresses, Hold: true, Announce: announce})
//	…
//	k.Set("web", vip.Want{Addresses: addresses})  // Backup: they must be absent
//	err = k.Settle(ctx)                           // all of it is done
//
// The caller never waits: Set and its siblings store the order and return;
// results come back as events. One goroutine, Run, does all the work (with more
// than one batch to add it has another do the adding). Once an
// order that ends holding has returned, no further announcement of that owner
// is begun.
//
// What it answers for:
//
//   - RFC 9568 section 6.4: gratuitous ARP (RFC 5227 section 3 calls its form
//     an ARP announcement) and unsolicited neighbour advertisements (R as the
//     interface forwards, S=0, O=1, RFC 4861 section 7.2.6) on becoming Active,
//     repeated in a second burst and, if wanted, periodically
//   - RFC 9568 section 8.1.2: no gratuitous ARP before the address is installed
//   - RFC 5227 sections 2.1.1 and 2.4: probes, conflicts, defence
//   - below priority 255 an address found while not holding is removed, whoever
//     put it there; at 255 one that was not added here is never removed
//
// # Leases
//
// With [Want].Lease the kernel itself drops the addresses some time after they
// were last renewed, so that those of a node that crashed or hangs do not go on
// answering beside the new Active router. Renewals go out in batches, while the
// order stands and the caller makes progress ([Keeper.Beat]), and never bring
// back an address that somebody removed: that is the business of the comparison
// with the kernel, which tells and announces. The kernel's route to an IPv6
// subnet ends with the last lease in it, and not at all if the subnet has a
// permanent address. Each renewal of an IPv6 address has the kernel report the
// multicast groups of its interface anew (RFC 9777).
//
// From its first Beat on a Keeper insists on nothing (renewing, putting back,
// announcing again) while there is no fresh one: a process that was stopped has
// to hear first what happened meanwhile.
//
// # Claims
//
// While addresses are held (from some milliseconds after a takeover on) or linger
// the Keeper listens for other stations that say they have them: any ARP packet with the address as its sender's, any
// neighbour advertisement for it that names a hardware address, unless that
// belongs to an interface of this host. During a linger that is the successor,
// and the linger soon ends. While holding it is a conflict, unless it turns out
// within a second to have been a successor that announced before its
// advertisement was heard. [Want].Conflicts says what follows; its announcement
// of defence is that of RFC 5227 section 2.4 (b). A host that has the address
// for itself, or an earlier Active router that crashed and whose kernel still
// answers, says nothing until it is asked: so held addresses are probed once,
// and every ten seconds during a conflict. Of a flood at most 3,200 packets a
// second are read.
//
// # Handing over quietly
//
// In a planned handover some neighbours send to this node for a moment longer,
// but none may learn from it any more who has the address. With [Want].Linger
// an address leaves its interface for the loopback interface: what still
// arrives is served, while the kernel answers neighbour solicitations only for
// addresses of the interface they came in by, and ARP likewise with arp_ignore
// set (and arp_announce, because an ARP request teaches its sender's address);
// both switches are restored with the end of the last linger on the interface.
// What serves the address has an end of its own (IPv4 routes excepted), so that
// it does not outlive a crash; what the switches were is noted in the kernel, for
// the next process to restore them.
// Link-local addresses, which are local to their own interface only, get a
// local route instead. Where the kernel's route to the subnet went with the
// address a route of protocol 112 takes its place.
//
// # Addresses of one subnet
//
// IPv4 addresses of one subnet on one interface form a primary with
// secondaries, and the kernel drops the secondaries together with the primary
// unless net.ipv4.conf.IF.promote_secondaries is set
// (Documentation/networking/ip-sysctl.rst). The Keeper sets it, through
// netlink, on an interface that it holds IPv4 addresses on (some milliseconds
// after a takeover, for which nobody has to wait, or when it removes one), and
// clears it in Close if it was clear before. Where it is not in force, neighbours of
// an address that vanish with it are put back with all their attributes.
//
// Virtual addresses get no broadcast address (as `ip address add` does it) and
// the prefix route that the kernel makes for every address; IPv6 addresses skip
// duplicate address detection, because the previous Active router may still
// answer for them. On Linux 5.18 and newer they carry the address protocol 112
// as a mark of who added them.
package vip
