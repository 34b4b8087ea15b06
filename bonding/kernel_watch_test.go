package bonding

import "time"

// never makes a Watcher depend on the kernel's messages alone.
const never = time.Hour

func kernelWatchFailover(n *node) {
	n.bond("mode active-backup miimon 100")
	w, updates := n.watch(never)
	first := n.update(updates, "eth0 is active", carries("eth0"))
	if w.Latest() == nil || first.Bond("bond1") != nil {
		n.Error("the first reading is not there")
	}
	n.port(0, "down")
	u := n.update(updates, "failover", carries("eth1"))
	n.expect("MII of eth0", u.Bond("bond0").Link("eth0").MII, MIIDown)
	n.expect("failures of eth0", u.Bond("bond0").Link("eth0").Failures, 1)
	if _, err := n.h.SetActive("bond0", "eth1"); err != nil {
		n.Error(err)
	}
	n.port(0, "up")
	n.update(updates, "the link is back", func(u *Update) bool { b := u.Bond("bond0"); return b.UsableLinks() == 2 })
	if _, err := n.h.SetActive("bond0", "eth0"); err != nil {
		n.Error(err)
	}
	n.update(updates, "moved by hand", carries("eth0"))
	n.sh("ip link set eth1 nomaster")
	n.update(updates, "detached", func(u *Update) bool { return len(u.Bond("bond0").Links) == 1 })
	n.expect("messages lost", w.Lost(), 0)
	if changes := Compare(first.Bond("bond0"), u.Bond("bond0")); len(changes) == 0 || changes[0].Kind != ActiveMoved {
		n.Errorf("changes: %v", changes)
	}
}

func kernelWatchRemade(n *node) {
	n.bond("mode active-backup miimon 100")
	_, updates := n.watch(never)
	before := n.update(updates, "eth0 is active", carries("eth0"))
	n.sh("ip link del bond0")
	n.update(updates, "gone", func(u *Update) bool { return u.Bond("bond0") == nil })
	n.bond("mode active-backup miimon 100")
	after := n.update(updates, "made again", func(u *Update) bool { return carries("eth0")(u) && len(u.Bond("bond0").Links) == 2 })
	changes := Compare(before.Bond("bond0"), after.Bond("bond0"))
	if len(changes) != 1 || changes[0].Kind != Remade || !changes[0].Announce() {
		n.Errorf("changes: %v", changes)
	}
	n.port(0, "down")
	n.update(updates, "failover of the new one", carries("eth1"))
}

// While the reader is held up the kernel drops messages; what they said is
// known afterwards all the same.
func kernelWatchLostMessages(n *node) {
	n.bond("mode active-backup miimon 100")
	w, err := NewWatcher()
	if err != nil {
		n.Fatal(err)
	}
	w.Reread = never
	if err := w.sub.Close(); err != nil { // a subscription that overflows soon
		n.Fatal(err)
	}
	small, err := subscribe(4096)
	if err != nil {
		n.Fatal(err)
	}
	if w.raw, err = small.SyscallConn(); err != nil {
		n.Fatal(err)
	}
	w.sub = small
	held, release, updates := make(chan struct{}), make(chan struct{}), make(chan *Update, 1000)
	first := true
	n.run(w, func(u *Update) {
		if updates <- u; first {
			first = false
			close(held)
			<-release
		}
	})
	<-held
	n.sh("for mtu in 1400 1401 1402 1403 1404 1405 1406 1407; do ip link set bond0 mtu $mtu; done")
	n.port(0, "down")
	n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
	close(release)
	n.update(updates, "failover", carries("eth1"))
	if w.Lost() == 0 {
		n.Error("no message was lost, so nothing was tested")
	}
	n.port(0, "up")
	n.port(1, "down")
	n.update(updates, "failover after the loss", carries("eth0"))
}

// What the kernel does not announce is seen by the reading nobody asked for,
// and by one that is asked for.
func kernelWatchReread(n *node) {
	n.bond("mode active-backup miimon 100")
	w, updates := n.watch(300 * time.Millisecond)
	n.update(updates, "eth0 is active", carries("eth0"))
	at := w.Latest().At
	deadline := time.Now().Add(patience)
	for seen := 0; seen < 3; {
		if u := w.Latest(); u.At.After(at) {
			at, seen = u.At, seen+1
		}
		if time.Now().After(deadline) {
			n.Fatalf("%d readings", seen)
		}
		time.Sleep(10 * time.Millisecond)
	}

	w, updates = n.watch(never)
	n.update(updates, "eth0 is active", carries("eth0"))
	for range 3 {
		at := w.Latest().At
		w.Refresh()
		n.until("a reading that was asked for", func(Bond) bool { return w.Latest().At.After(at) })
	}
}
