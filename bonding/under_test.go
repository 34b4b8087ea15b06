package bonding

import (
	"errors"
	"slices"
	"testing"
)

func TestBondsUnder(t *testing.T) {
	links := []linkMsg{
		{index: 1, name: "lo"},
		{index: 2, name: "eth0", slaveKind: "bond", master: 4},
		{index: 3, name: "eth1", slaveKind: "bond", master: 4},
		{index: 4, name: "bond0", kind: "bond"},
		{index: 5, name: "bond0.10", kind: "vlan", lower: 4, master: 6},
		{index: 6, name: "br0", kind: "bridge"},
		{index: 7, name: "tap0", kind: "tun", master: 6},
		{index: 8, name: "mac0", kind: "macvlan", lower: 6},
		{index: 9, name: "bond1", kind: "bond", master: 10},
		{index: 10, name: "vrf0", kind: "vrf"},
		{index: 11, name: "bond0.20", kind: "vlan", lower: 4, master: 10},
		{index: 12, name: "a", kind: "macvlan", lower: 13},
		{index: 13, name: "b", kind: "macvlan", lower: 12},
	}
	for name, want := range map[string][]string{
		"lo": nil, "eth0": nil, "bond0": {"bond0"}, "bond0.10": {"bond0"}, "br0": {"bond0"},
		"mac0": {"bond0"}, "vrf0": {"bond0", "bond1"}, "tap0": nil, "a": nil, "none": nil,
	} {
		if got := bondsUnder(links, name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func kernelBondsUnder(n *node) {
	n.bond("mode active-backup miimon 100")
	n.sh(`ip link add link bond0 name bond0.10 type vlan id 10
ip link add br0 type bridge
ip link set bond0.10 master br0
ip link add link br0 name mac0 type macvlan mode bridge
ip link add bond1 type bond
ip link add vrf0 type vrf table 10
ip link set bond1 master vrf0`)
	for name, want := range map[string]string{"bond0": "[bond0]", "bond0.10": "[bond0]", "br0": "[bond0]", "mac0": "[bond0]", "vrf0": "[bond1]", "eth0": "[]", "lo": "[]"} {
		got, err := n.h.BondsUnder(name)
		if err != nil {
			n.Error(err)
		}
		n.expect("under "+name, got, want)
	}
	if _, err := n.h.BondsUnder("none"); !errors.Is(err, ErrAbsent) {
		n.Errorf("none: %v", err)
	}
}
