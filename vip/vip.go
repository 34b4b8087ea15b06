package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// An Address is a virtual address and where it goes.
type Address struct {
	Prefix    netip.Prefix // address and prefix length, IPv4 or IPv6
	Interface string
	Label     string // IPv4 only; "": the kernel's default, the interface's name
}

// String returns the address as operators write it, with its interface.
func (a Address) String() string { return a.Prefix.String() + " on " + a.Interface }

// check reports what makes an address unusable whatever the kernel says.
func (a Address) check() error {
	switch {
	case !a.Prefix.IsValid(), a.Prefix.Addr().Is4In6():
		return errors.New("not an IPv4 or IPv6 address with a prefix length")
	case a.Interface == "":
		return errors.New("no interface")
	case a.Label != "" && !a.Prefix.Addr().Is4():
		return errors.New("only IPv4 addresses have labels")
	}
	return nil
}

// An Announce paces gratuitous ARP and unsolicited neighbour advertisements of
// each address.
type Announce struct {
	Burst   int           // announcements in a burst; less than 1 means 1
	Spacing time.Duration // between the announcements of a burst; at least 1ms
	Again   time.Duration // from the first announcement to a second burst; 0: none
	Refresh time.Duration // between single announcements after the bursts; 0: none
}

// A Want is what one owner asks for.
type Want struct {
	// Addresses must not be changed after the Want was given to Set.
	Addresses []Address
	// Hold: the addresses must be present. Otherwise they must be absent.
	Hold bool
	// Linger, with Hold false and for an owner that held: how long packets that
	// still arrive are served, without answering ARP or neighbour solicitations
	// and without announcing, before the addresses are removed. It counts from
	// the Set that ended Hold; a later one may end it but not prolong it.
	Linger time.Duration
	// Owner: the addresses belong to this node (priority 255, RFC 9568
	// section 5.2.4): those that were not added here are never removed.
	Owner    bool
	Announce Announce
	// Lease, with Hold: the addresses leave the kernel by themselves when they
	// were not renewed for this long, whole seconds (a fraction is dropped, less
	// than 1s means 1s). They are renewed at a third of it for as long as the
	// order stands and the caller makes progress ([Keeper.Beat]). 0: they stay
	// for ever. Ignored for an Owner. With more than 128 IPv6 leases on an
	// interface theirs are longer, times the number of 128s begun: the kernel's
	// work for one grows with their number.
	Lease time.Duration
	// Conflicts says what is done when another host claims a held address. Such
	// claims end a Linger early whatever it says.
	Conflicts Conflicts
}

// Conflicts is what to do about another host that claims a held address (RFC
// 5227 section 2.4).
type Conflicts int

// What there is to choose from.
const (
	// IgnoreConflicts: nothing.
	IgnoreConflicts Conflicts = iota
	// WatchConflicts: tell about claims, and ask once, after the address was
	// taken over, whether somebody else has it.
	WatchConflicts
	// DefendConflicts: likewise, and answer claims with an announcement, at most
	// once in ten seconds per address.
	DefendConflicts
)

// same reports whether two Wants ask for the same. The addresses are compared
// by their backing array first: callers usually repeat the very same slice.
func (w Want) same(o Want) bool {
	return w.Hold == o.Hold && w.Linger == o.Linger && w.Owner == o.Owner && w.Announce == o.Announce && w.Lease == o.Lease && w.Conflicts == o.Conflicts && sameAddresses(w.Addresses, o.Addresses)
}

func sameAddresses(a, b []Address) bool {
	if len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) {
		return true
	}
	return slices.Equal(a, b)
}

// A Kind says what an Event tells. The zero Kind is invalid.
type Kind int

const (
	_ Kind = iota
	// Held: all addresses of the owner are installed and each was announced
	// once (unless its interface cannot: down, no ARP). Told once after Hold
	// was set, and again after addresses were added to those held.
	Held
	// Quieted: the addresses the owner lets go are off their interface: nothing
	// answers for them or announces them any more, and they are served for as
	// long as Want.Linger says.
	Quieted
	// Released: the addresses the owner no longer holds are gone.
	Released
	// Restored: a held address was gone and was put back.
	Restored
	// Foreign: an address that we did not add was found while not holding (or,
	// while holding, in the way: an interface has an IPv6 address only once,
	// whatever the prefix length) and was removed.
	Foreign
	// Failed: something could not be done; it is tried again with back-off.
	// Told once per cause, not once per attempt.
	Failed
	// Conflict: another host claims a held address, and did not turn out to be a
	// successor within a second. Claims in the first second of holding are no
	// conflict. Told at most once in ten seconds per address and MAC.
	Conflict
	// ConflictOver: no claim was heard for thirty seconds, or the address is not
	// held any more. Follows every Conflict.
	ConflictOver
	// PromoteSet: net.ipv4.conf.Interface.promote_secondaries was set.
	PromoteSet
)

var kindNames = map[Kind]string{
	Held: "held", Quieted: "quieted", Released: "released", Restored: "restored",
	Foreign: "foreign", Conflict: "conflict", ConflictOver: "conflict over", Failed: "failed", PromoteSet: "promote_secondaries set",
}

// String returns a short lower-case name.
func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind %d", int(k))
}

// An Event tells what was done or found.
type Event struct {
	Kind  Kind
	Owner string // "": concerns no single owner (PromoteSet, some of Failed)
	// Address is the one concerned (Restored, Foreign, Failed, Conflict, ConflictOver).
	Address Address
	// Addresses are all concerned: those of the owner (Held), those that went
	// quiet (Quieted), those that were removed (Released), those that failed for the same reason (Failed).
	Addresses []Address
	Interface string // PromoteSet
	// Leftover: the Foreign address carried this package's mark: an earlier
	// process left it. Always false before Linux 5.18.
	Leftover bool
	MAC      net.HardwareAddr // Conflict: whose claims, and how many there were since the last was told
	Claims   int
	Err      error     // Failed
	At       time.Time // when it was done (Held: the last announcement of it); Conflict: of the last claim
	Started  time.Time // Held, Quieted, Released: when it was asked for
}

// Errors that Failed events wrap besides those of the kernel.
var (
	ErrNoInterface   = errors.New("no such interface")
	ErrInterfaceDown = errors.New("interface is down")
	// ErrNoLoopback: an address could not linger and was removed at once.
	ErrNoLoopback = errors.New("no loopback interface that is up")
)
