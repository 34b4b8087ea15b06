package vip

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// batchLen is how many requests go to the kernel in one send. Larger batches
// delay the first announcement more than they save.
const batchLen = 32

// A kernel is what a Keeper needs of the operating system. All methods but
// watch and hear are called one after the other, except that announce may be
// called during apply.
type kernel interface {
	// list reads all links and addresses.
	list() (*view, error)
	// apply carries out at most batchLen operations in order and returns an
	// error or nil for each.
	apply(ops []op) []error
	// setPromote switches promote_secondaries of an interface.
	setPromote(index int, on bool) error
	// setARP switches arp_ignore and arp_announce of an interface.
	setARP(index int, to arpSwitches) error
	// announce sends one announcement of ip.
	announce(l *link, ip netip.Addr) error
	// probe asks all neighbours who has ip, without teaching them anything.
	probe(l *link, ip netip.Addr) error
	// listen chooses the addresses that hear hears of.
	listen(ips []netip.Addr) error
	// hear calls heard, from more than one goroutine, when a station says that
	// it has an address, until ctx ends. It may tell of other addresses too.
	hear(ctx context.Context, heard func(claim)) error
	// watch calls changed for everything that happens to links and addresses,
	// except most of what apply did, until ctx ends.
	watch(ctx context.Context, changed func(change)) error
	close() error
}

// An action is what an op does. The zero action is invalid.
type action int

const (
	_ action = iota
	add
	remove  // entry
	putBack // entry, as it was
	addHost // addr, of host scope
	renew   // the lifetime of entry; fails if it is not there
	addRoute
	removeRoute
	addNote // of what arp was
	removeNote
)

// An op is one request to the kernel.
type op struct {
	do     action
	index  int           // add, addHost, addNote, removeNote
	arp    arpSwitches   // addNote, removeNote
	addr   Address       // add, addHost
	entry  *entry        // remove, putBack, renew
	route  route         // addRoute, removeRoute
	lease  time.Duration // add, addHost, renew, IPv6 addRoute: the lifetime in whole seconds; 0: for ever
	apart  bool          // renew: leave the prefix route, which a permanent neighbour needs, as it is
	detach bool          // renew: leave its prefix route to its neighbours
	plain  bool          // renew: in words that every kernel understands, but that add the address if it is gone
}

// A route is one of those that stand in for what the kernel makes of an
// address. They carry a metric and a protocol number of their own, and so never
// are the kernel's nor an operator's.
type route struct {
	index int
	to    netip.Prefix // without host bits
	from  netip.Addr   // the preferred source address, if valid
	local bool         // packets are for this host; else: neighbours are on the link
}

// done reports whether err, the kernel's answer, means that the state asked for
// is there.
func (o op) done(err error) bool {
	switch {
	case err == nil:
		return true
	case o.do == remove:
		return err == unix.EADDRNOTAVAIL || err == unix.ENODEV
	case o.do == removeRoute, o.do == removeNote:
		return err == unix.ESRCH || err == unix.ENODEV
	}
	return err == unix.EEXIST && o.do != renew
}

// A change is something that happened to the kernel's links or addresses.
type change struct {
	index int        // 0: an overrun, changes were lost
	name  string     // of the interface, if the change is about a link
	down  bool       // the link cannot carry frames now
	ip    netip.Addr // if the change is about an address
	err   error      // with index 0: why changes were lost
}
