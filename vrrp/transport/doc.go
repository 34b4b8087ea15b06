// Package transport carries VRRP advertisements (IP protocol 112) in and out
// over raw sockets, and waits for them.
//
// It knows IP but not VRRP: a Socket, bound to one interface and one address
// family, hands over what arrived with its source, destination, hop limit
// and the moment the kernel received it, and sends what it is given from the
// source it is told. Everything a router must verify (RFC 9568 section 7.1)
// is the caller's: the kernel neither computes nor verifies VRRP checksums
// here, and no packet is dropped for its TTL, so that the caller can count
// each by its reason.
//
// One goroutine, locked to its OS thread, owns a Poller, a Batch and any
// number of Sockets; only Poller.Wake may be called from elsewhere. Neither
// receiving, sending nor waiting allocates.
//
//	poller, err := transport.NewPoller()
//	socket, err := transport.Open(transport.Config{
//		Interface: "eth0", Family: transport.IPv4, Multicast: true,
//	})
//	err = poller.Add(socket.FD(), 0)
//	batch := transport.NewBatch()
//	for {
//		ready, woken, err := poller.WaitPrecisely(deadline, transport.AwakeWindow, nil, nil)
//		for range ready {
//			packets, more, err := socket.Receive(batch)
//			// a datagram already queued counts before an expired timer:
//			// while more is true, receive again
//		}
//		socket.Queue(source, transport.GroupIPv4, advert)
//		sent, failed := socket.Flush()
//	}
//
// What is to leave at even intervals may be left to the waiting thread: see
// Schedule and WaitSending. What is heard again and again need not end a wait: see
// Familiar.
//
// Times are nanoseconds of CLOCK_MONOTONIC, see Now. The wall clock may be
// set to anything at any moment without effect: see Packet.At.
//
// The package answers for the transport part of RFC 9568: section 5.1.1
// (IPv4: destination 224.0.0.18, TTL 255, protocol 112) and section 5.1.2
// (IPv6: destination ff02::12, hop limit 255, next header 112). The kernel
// interfaces are those of raw(7), ip(7), ipv6(7), packet timestamps as in
// the kernel's Documentation/networking/timestamping.rst, and epoll(7).
// Linux 4.18 or newer.
package transport
