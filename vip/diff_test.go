package vip

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	type wanted struct {
		prefix, iface string
		hold, owner   bool
		notYet        bool // its pace forbids an attempt now
	}
	type has struct {
		prefix       string
		ours, marked bool
	}
	const a4, a4host, a6, a6host = "192.0.2.10/24", "192.0.2.10/32", "2001:db8::10/64", "2001:db8::10/128"
	for _, tt := range []struct {
		name    string
		goals   []wanted
		kernel  []has // on eth0, which is up; eth1 is down, eth9 absent
		remove  []string
		add     []string
		waiting int
	}{
		{name: "nothing wanted, others' addresses are left alone", kernel: []has{{prefix: a4}, {prefix: a6, marked: true}}},
		{name: "missing", goals: []wanted{{prefix: a4, iface: "eth0", hold: true}}, add: []string{a4}},
		{name: "present", goals: []wanted{{prefix: a4, iface: "eth0", hold: true}}, kernel: []has{{prefix: a4}}},
		{name: "absent as wanted", goals: []wanted{{prefix: a4, iface: "eth0"}}},
		{name: "ours, to be released", goals: []wanted{{prefix: a4, iface: "eth0"}}, kernel: []has{{prefix: a4, ours: true}}, remove: []string{a4}},
		{name: "ours, listed by nobody", kernel: []has{{prefix: a4, ours: true}}, remove: []string{a4}},
		{name: "foreign, whatever its length", goals: []wanted{{prefix: a4, iface: "eth0"}},
			kernel: []has{{prefix: a4}, {prefix: a4host}}, remove: []string{a4, a4host}},
		{name: "on another interface than configured", goals: []wanted{{prefix: a4, iface: "eth1"}}, kernel: []has{{prefix: a4}}},
		{name: "owner's own", goals: []wanted{{prefix: a4, iface: "eth0", owner: true}}, kernel: []has{{prefix: a4}}},
		{name: "owner's, added by us", goals: []wanted{{prefix: a4, iface: "eth0", owner: true}}, kernel: []has{{prefix: a4, ours: true}}, remove: []string{a4}},
		{name: "owner's, added by an earlier process", goals: []wanted{{prefix: a4, iface: "eth0", owner: true}},
			kernel: []has{{prefix: a4, marked: true}}, remove: []string{a4}},
		{name: "another length held beside it", goals: []wanted{{prefix: a4, iface: "eth0", hold: true}, {prefix: a4host, iface: "eth0"}},
			kernel: []has{{prefix: a4, ours: true}, {prefix: a4host}}, remove: []string{a4host}},
		{name: "IPv4 lives beside another length", goals: []wanted{{prefix: a4, iface: "eth0", hold: true}},
			kernel: []has{{prefix: a4host}}, add: []string{a4}},
		{name: "IPv6 does not", goals: []wanted{{prefix: a6, iface: "eth0", hold: true}},
			kernel: []has{{prefix: a6host}}, remove: []string{a6host}, add: []string{a6}},
		{name: "unless it is the owner's", goals: []wanted{{prefix: a6, iface: "eth0", hold: true, owner: true}}, kernel: []has{{prefix: a6host}}},
		{name: "interface absent", goals: []wanted{{prefix: a4, iface: "eth9", hold: true}, {prefix: a6, iface: "eth9"}}},
		{name: "interface down: IPv4 only", goals: []wanted{{prefix: a4, iface: "eth1", hold: true}, {prefix: a6, iface: "eth1", hold: true}}, add: []string{a4}},
		{name: "not yet", goals: []wanted{{prefix: a4, iface: "eth0", hold: true, notYet: true}, {prefix: a6, iface: "eth0", notYet: true}},
			kernel: []has{{prefix: a6}}, waiting: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			v := newView()
			v.addLink(&link{name: "eth0", index: 2, up: true})
			v.addLink(&link{name: "eth1", index: 3})
			ours := map[place]*holding{}
			for _, h := range tt.kernel {
				e := &entry{index: 2, prefix: netip.MustParsePrefix(h.prefix), marked: h.marked}
				v.addEntry(e)
				if h.ours {
					ours[e.place()] = &holding{}
				}
			}
			ours[place{7, netip.MustParsePrefix(a4)}] = &holding{} // its interface went
			known := len(ours) - 1
			var goals []*goal
			for _, w := range tt.goals {
				g := &goal{addr: at(w.iface, w.prefix)[0], hold: w.hold, owner: w.owner}
				if w.notYet {
					g.pace.notYet = now.Add(time.Second)
				}
				goals = append(goals, g)
			}
			p := diff(goals, ours, v, now)
			var remove, add []string
			for _, r := range p.remove {
				remove = append(remove, r.entry.prefix.String())
			}
			for _, g := range p.add {
				add = append(add, g.addr.Prefix.String())
			}
			slices.Sort(remove)
			if d := cmp.Diff(tt.remove, remove); d != "" {
				t.Errorf("to remove (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.add, add); d != "" {
				t.Errorf("to add (-want +got):\n%s", d)
			}
			if p.waiting != tt.waiting || p.later.IsZero() != (tt.waiting == 0) {
				t.Errorf("%d waiting until %v, want %d", p.waiting, p.later, tt.waiting)
			}
			if len(ours) != known {
				t.Errorf("%d holdings, want %d: one on an interface that went is to be forgotten", len(ours), known)
			}
		})
	}
}
