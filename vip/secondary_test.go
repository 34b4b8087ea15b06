package vip

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The primary of a subnet and its secondaries, against the kernel. In every
// test the node has an address of its own in the subnet of the virtual ones.

const promoteSwitch = "ipv4/conf/%s/promote_secondaries"

// A virtual address that came first is the primary. When it goes, the node's
// own address stays, because promotion was switched on.
func TestKernelPromotesNeighbours(t *testing.T) {
	c := newCable(t)
	c.writeSysctl(promoteSwitch, "0")
	k, r, stop := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "192.0.2.11/24"), Hold: true})
	r.await(Held)
	if e := r.await(PromoteSet); e.Interface != c.near {
		t.Errorf("event %+v", e)
	}
	if got := c.readSysctl(promoteSwitch); got != "1" {
		t.Errorf("promote_secondaries is %s", got)
	}
	c.add(address("192.0.2.1/24"))
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.11/24"), Hold: true})
	settle(t, k)
	if !c.has("192.0.2.1/24", "192.0.2.11/24") {
		t.Errorf("addresses %v", c.addresses())
	}
	r.none(Restored)
	// An operator deletes the primary: nothing of ours goes with it.
	c.del("192.0.2.1/24")
	settle(t, k)
	if !c.has("192.0.2.11/24") {
		t.Errorf("addresses %v", c.addresses())
	}
	r.none(Restored)
	k.Forget("web")
	settle(t, k)
	stop()
	if got := c.readSysctl(promoteSwitch); got != "0" {
		t.Errorf("promote_secondaries is %s after Close", got)
	}
}

func TestKernelPromoteLeftAlone(t *testing.T) {
	t.Run("already set", func(t *testing.T) {
		c := newCable(t)
		c.writeSysctl(promoteSwitch, "1")
		k, r, stop := startKeeper(t)
		k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
		r.await(Held)
		time.Sleep(2 * quietFor)
		r.none(PromoteSet)
		k.Forget("web")
		settle(t, k)
		stop()
		if got := c.readSysctl(promoteSwitch); got != "1" {
			t.Errorf("promote_secondaries is %s after Close", got)
		}
	})
	t.Run("addresses are left at Close", func(t *testing.T) {
		c := newCable(t)
		c.writeSysctl(promoteSwitch, "0")
		k, r, stop := startKeeper(t)
		k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
		r.await(PromoteSet)
		stop()
		if got := c.readSysctl(promoteSwitch); got != "1" || !c.has("192.0.2.10/24") {
			t.Errorf("promote_secondaries is %s after Close, addresses %v", got, c.addresses())
		}
	})
	t.Run("only IPv6", func(t *testing.T) {
		c := newCable(t)
		c.writeSysctl(promoteSwitch, "0")
		k, r, _ := startKeeper(t)
		k.Set("web", Want{Addresses: at(c.near, "2001:db8::10/64"), Hold: true})
		r.await(Held)
		time.Sleep(2 * quietFor)
		if got := c.readSysctl(promoteSwitch); got != "0" {
			t.Errorf("promote_secondaries is %s", got)
		}
	})
}

// Without promotion, somebody having switched it off, neighbours that go with a
// virtual address come back as they were, in their order; virtual addresses of
// other owners come back too.
func TestKernelPutsNeighboursBack(t *testing.T) {
	c := newCable(t)
	c.writeSysctl(promoteSwitch, "0")
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
	r.await(PromoteSet)
	c.writeSysctl(promoteSwitch, "0")

	own := address("192.0.2.1/24")
	own.Label = c.near + ":own"
	own.Broadcast = []byte{192, 0, 2, 255}
	own.ValidLft, own.PreferedLft = 1000, 500
	c.add(own)
	c.add(address("192.0.2.2/24"))
	c.add(address("198.51.100.2/24")) // another subnet: not concerned
	k.Set("db", Want{Addresses: at(c.near, "192.0.2.20/24"), Hold: true})
	r.await(Held)

	k.Forget("web")
	settle(t, k)
	if !c.has("192.0.2.1/24", "192.0.2.2/24", "192.0.2.20/24", "198.51.100.2/24") {
		t.Fatalf("addresses %v", c.addresses())
	}
	if e := r.await(Restored); e.Owner != "db" {
		t.Errorf("event %+v", e)
	}
	r.none(Failed)
	var back netlink.Addr
	for _, a := range c.addresses() {
		if a.IP.String() == "192.0.2.1" {
			back = a
		}
	}
	if back.Label != own.Label || !back.Broadcast.Equal(own.Broadcast) || back.Flags&unix.IFA_F_SECONDARY != 0 {
		t.Errorf("put back as %+v", back)
	}
	if back.ValidLft < 900 || back.ValidLft > 1000 || back.PreferedLft < 400 || back.PreferedLft > 500 {
		t.Errorf("lifetimes %d and %d, want about 1000 and 500", back.ValidLft, back.PreferedLft)
	}
}

// The node's address is the primary and an operator deletes it without
// promotion: the virtual address goes with it, and comes back.
func TestKernelTakenAlong(t *testing.T) {
	c := newCable(t)
	c.add(address("192.0.2.1/24"))
	c.writeSysctl(promoteSwitch, "0")
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
	r.await(PromoteSet)
	ear.forget()
	c.writeSysctl(promoteSwitch, "0")
	c.del("192.0.2.1/24")
	if e := r.await(Restored); e.Owner != "web" {
		t.Errorf("event %+v", e)
	}
	ear.hears(1, "192.0.2.10")
	if !c.has("192.0.2.10/24") {
		t.Errorf("addresses %v", c.addresses())
	}
}

// The node's address is the primary: removing virtual ones, of any prefix
// length, leaves it alone with and without promotion.
func TestKernelPrimaryStays(t *testing.T) {
	for _, promote := range []string{"0", "1"} {
		t.Run("promote "+promote, func(t *testing.T) {
			c := newCable(t)
			c.add(address("192.0.2.1/24"))
			c.writeSysctl(promoteSwitch, "0")
			k, r, _ := startKeeper(t)
			k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "192.0.2.11/32", "192.0.2.12/24"), Hold: true})
			r.await(PromoteSet)
			c.writeSysctl(promoteSwitch, promote)
			k.Forget("web")
			settle(t, k)
			if !c.has("192.0.2.1/24") {
				t.Errorf("addresses %v", c.addresses())
			}
		})
	}
}
