package bonding

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// bondMessage is the body of an RTM_NEWLINK about a bond with every attribute.
func bondMessage() []byte {
	var data, ad, targets, info, all attrs
	data.u8(unix.IFLA_BOND_MODE, 4)
	data.u32(unix.IFLA_BOND_ACTIVE_SLAVE, 2)
	data.u32(unix.IFLA_BOND_PRIMARY, 3)
	data.u32(unix.IFLA_BOND_MIIMON, 100)
	data.u32(unix.IFLA_BOND_UPDELAY, 200)
	data.u32(unix.IFLA_BOND_DOWNDELAY, 300)
	data.u8(unix.IFLA_BOND_USE_CARRIER, 1)
	data.u32(unix.IFLA_BOND_ARP_INTERVAL, 400)
	targets.bytes(0, []byte{192, 0, 2, 1})
	targets.bytes(1, []byte{192, 0, 2, 2})
	data.nest(unix.IFLA_BOND_ARP_IP_TARGET, targets)
	data.u32(unix.IFLA_BOND_ARP_VALIDATE, 3)
	data.u32(unix.IFLA_BOND_ARP_ALL_TARGETS, 1)
	data.u8(unix.IFLA_BOND_MISSED_MAX, 5)
	data.u8(unix.IFLA_BOND_PRIMARY_RESELECT, 1)
	data.u8(unix.IFLA_BOND_FAIL_OVER_MAC, 2)
	data.u8(unix.IFLA_BOND_XMIT_HASH_POLICY, 5)
	data.u32(unix.IFLA_BOND_MIN_LINKS, 2)
	data.u8(unix.IFLA_BOND_NUM_PEER_NOTIF, 3)
	data.u32(unix.IFLA_BOND_PEER_NOTIF_DELAY, 500)
	data.u32(unix.IFLA_BOND_RESEND_IGMP, 4)
	data.u8(unix.IFLA_BOND_ALL_SLAVES_ACTIVE, 1)
	data.u8(unix.IFLA_BOND_AD_LACP_RATE, 1)
	data.u8(unix.IFLA_BOND_AD_LACP_ACTIVE, 0)
	for typ, v := range map[uint16]uint16{unix.IFLA_BOND_AD_INFO_AGGREGATOR: 7, unix.IFLA_BOND_AD_INFO_NUM_PORTS: 2, unix.IFLA_BOND_AD_INFO_ACTOR_KEY: 15, unix.IFLA_BOND_AD_INFO_PARTNER_KEY: 16} {
		ad.bytes(typ, binary.NativeEndian.AppendUint16(nil, v))
	}
	ad.bytes(unix.IFLA_BOND_AD_INFO_PARTNER_MAC, hw(9))
	data.nest(unix.IFLA_BOND_AD_INFO, ad)
	info.str(unix.IFLA_INFO_KIND, "bond")
	info.nest(unix.IFLA_INFO_DATA, data)
	all.str(unix.IFLA_IFNAME, "bond0")
	all.bytes(unix.IFLA_ADDRESS, hw(1))
	all.u8(unix.IFLA_CARRIER, 1)
	all.nest(unix.IFLA_LINKINFO, info)
	return linkRequest(4, unix.IFF_UP, 0, all)
}

// linkMessage is the body of an RTM_NEWLINK about a link of bond 4.
func linkMessage() []byte {
	var data, info, all attrs
	data.u8(unix.IFLA_BOND_SLAVE_STATE, 1)
	data.u8(unix.IFLA_BOND_SLAVE_MII_STATUS, 3)
	data.u32(unix.IFLA_BOND_SLAVE_LINK_FAILURE_COUNT, 12)
	data.bytes(unix.IFLA_BOND_SLAVE_PERM_HWADDR, hw(2))
	data.bytes(unix.IFLA_BOND_SLAVE_AD_AGGREGATOR_ID, binary.NativeEndian.AppendUint16(nil, 7))
	data.u8(unix.IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE, 77)
	data.bytes(unix.IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE, binary.NativeEndian.AppendUint16(nil, 63))
	data.u32(unix.IFLA_BOND_SLAVE_PRIO, 0xfffffffb)
	info.str(unix.IFLA_INFO_KIND, "veth")
	info.str(unix.IFLA_INFO_SLAVE_KIND, "bond")
	info.nest(unix.IFLA_INFO_SLAVE_DATA, data)
	all.str(unix.IFLA_IFNAME, "eth1")
	all.u32(unix.IFLA_MASTER, 4)
	all.bytes(unix.IFLA_ADDRESS, hw(1))
	all.nest(unix.IFLA_LINKINFO, info)
	return linkRequest(3, unix.IFF_UP, 0, all)
}

func TestDecodeBond(t *testing.T) {
	m, err := decodeLink(bondMessage())
	if err != nil || !m.isBond() || m.isLink() {
		t.Fatalf("%+v, %v", m, err)
	}
	got, err := m.bond()
	if err != nil {
		t.Fatal(err)
	}
	want := bondRead{active: 2, primary: 3, Bond: Bond{
		Name: "bond0", Index: 4, Up: true, Carrier: true, MAC: hw(1),
		Mode: Mode8023AD, Reselect: ReselectBetter,
		MIIMon: 100 * time.Millisecond, UpDelay: 200 * time.Millisecond, DownDelay: 300 * time.Millisecond, UseCarrier: true,
		ARPInterval: 400 * time.Millisecond, ARPTargets: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		ARPValidate: ARPValidateAll, ARPAll: true, ARPMissedMax: 5,
		FailOverMAC: FailOverMACFollow, MinLinks: 2, NumPeerNotif: 3, PeerNotifDelay: 500 * time.Millisecond, ResendIGMP: 4,
		AllLinksActive: true, HashPolicy: HashVLANSrcMAC, LACPRate: LACPFast, LACPActive: false,
		Aggregator: &Aggregator{ID: 7, Ports: 2, ActorKey: 15, PartnerKey: 16, Partner: hw(9)},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(bondRead{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeLink(t *testing.T) {
	m, err := decodeLink(linkMessage())
	if err != nil || m.isBond() || !m.isLink() || m.master != 4 {
		t.Fatalf("%+v, %v", m, err)
	}
	got, err := m.link()
	if err != nil {
		t.Fatal(err)
	}
	want := Link{
		Name: "eth1", Index: 3, Up: true, MAC: hw(1), PermMAC: hw(2), MII: MIIGoingBack, Failures: 12,
		Priority: -5, AggregatorID: 7, Actor: 77, Partner: negotiated,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzDecode: whatever comes from the socket is decoded or refused.
func FuzzDecode(f *testing.F) {
	for _, body := range [][]byte{bondMessage(), linkMessage(), nil} {
		head := make([]byte, unix.SizeofNlMsghdr)
		binary.NativeEndian.PutUint32(head, uint32(len(head)+len(body)))
		binary.NativeEndian.PutUint16(head[4:], unix.RTM_NEWLINK)
		f.Add(append(head, body...))
		binary.NativeEndian.PutUint16(head[4:], unix.NLMSG_ERROR)
		f.Add(append(head, body...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &Watcher{known: map[int]bool{3: true}}
		w.concerns(b)
		_ = eachMessage(b, func(m message) error {
			_ = refusal(m)
			l, err := decodeLink(m.body)
			if err != nil {
				return nil
			}
			r, _ := l.bond()
			link, _ := l.link()
			bond := r.with([]Link{link})
			v := Judge(&bond, Policy{})
			if v.Health == 0 || (v.Health == Healthy) != (len(v.Reasons) == 0) {
				t.Errorf("%s with reasons %q", v.Health, v.Reasons)
			}
			_ = Text(Diagnose(bond, DoctorInput{}))
			_ = Compare(&bond, changed(bond, func(b *Bond) { b.Mode++ }))
			return nil
		})
	})
}

// namespace moves the test into a network namespace of its own.
func namespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		lab.Missing(t, "a network namespace cannot be made: %v", err)
	}
}

// A kernel without the bonding driver has no bonds, and that is no error.
func TestHandleWithoutBonds(t *testing.T) {
	namespace(t)
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if bonds, err := h.Bonds(); err != nil || len(bonds) != 0 {
		t.Errorf("Bonds: %v, %v", bonds, err)
	}
	if _, err := h.Bond("bond0"); !errors.Is(err, ErrAbsent) {
		t.Errorf("bond0: %v", err)
	}
	if _, err := h.Bond("lo"); !errors.Is(err, ErrNotBond) {
		t.Errorf("lo: %v", err)
	}
	devices, err := h.Devices("lo", "eth9")
	if err != nil || len(devices) != 1 || devices["lo"].Index != 1 {
		t.Errorf("Devices: %v, %v", devices, err)
	}
	r := h.Apply([]Step{{Kind: StepAttach, Bond: "lo", Link: "eth9"}, {Kind: StepUp, Bond: "bond0"}})
	if len(r) != 2 || !errors.Is(r[0].Err, ErrNotBond) || !errors.Is(r[1].Err, ErrAbsent) {
		t.Errorf("Apply: %v", r)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := h.Bonds(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := h.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
}

// Interfaces that have nothing to do with bonds are not reported on, and a
// Watcher ends with its context.
func TestWatcherWithoutBonds(t *testing.T) {
	namespace(t)
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	updates := make(chan *Update, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx, func(u *Update) { updates <- u }) }()
	if u := <-updates; u.Err != nil || len(u.Bonds) != 0 || u.Bond("bond0") != nil {
		t.Errorf("first: %+v", u)
	}
	if out, err := exec.Command("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1").CombinedOutput(); err != nil {
		lab.Missing(t, "ip link: %v: %s", err, out)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(updates) != 0 {
		t.Errorf("reported %+v", <-updates)
	}
	if err := w.Close(); err != nil {
		t.Errorf("Close after Run: %v", err)
	}
}

// Where there is no bond nothing changes without a message, and nothing is read for
// the time alone; to be asked is enough, and with a bond, or after a reading that
// failed, everything is read as often as said.
func TestWatcherReadsLessWithoutBonds(t *testing.T) {
	namespace(t)
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	w.Reread = time.Millisecond
	first := make(chan bool, 1)
	done := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- w.Run(ctx, func(*Update) { first <- true }) }()
	<-first
	read := w.Latest().At
	time.Sleep(50 * time.Millisecond)
	if again := w.Latest().At; again != read {
		t.Errorf("read again after %s", again.Sub(read))
	}
	w.Refresh()
	for until := time.Now().Add(10 * time.Second); w.Latest().At == read; {
		if time.Now().After(until) {
			t.Fatal("asked for, and not read")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, u := range []*Update{{Bonds: []Bond{{Name: "bond0"}}}, {Err: os.ErrInvalid}} {
		if w.latest.Store(u); w.reread() != w.Reread {
			t.Errorf("after %+v it reads again in %s", u, w.reread())
		}
	}
}

func TestWatcherClosedUnderRun(t *testing.T) {
	namespace(t)
	w, err := NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	first := make(chan bool, 1)
	go func() { done <- w.Run(t.Context(), func(*Update) { first <- true }) }()
	<-first
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
	w.Refresh() // too late, and harmless
}
