package netif

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// settle gathers a burst of address changes (a thousand virtual addresses
	// being added) into one reading. Changes of links are never held up.
	settle = 20 * time.Millisecond
	// again is when a failed reading is tried again.
	again = 500 * time.Millisecond
	// audit reads everything now and then in case a message was lost unseen.
	audit = 30 * time.Second
)

// A Watcher follows the interfaces of the network namespace that New was
// called in.
type Watcher struct {
	handle  *netlink.Handle
	changes *os.File
	links   chan struct{} // some have changed; a second one adds nothing
	addrs   chan struct{}
	asked   chan func() // by Read
	report  func(Snapshot)
	failed  func(error)
	last    Snapshot
}

// New returns a Watcher and the interfaces as they are now. Every change of
// them is given to report, errors that it recovers from to failed; both are
// called from the goroutine of Run. The snapshots are not changed afterwards.
func New(report func(Snapshot), failed func(error)) (*Watcher, Snapshot, error) {
	// A dump that a change interrupted is read again rather than told about:
	// changes are what we are here for. The route family alone: the default
	// opens others too, IPsec among them, and fails where the kernel has none.
	h, err := netlink.NewHandleWithOptions(netlink.HandleOptions{RetryInterrupted: true}, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("open netlink socket: %w", err)
	}
	w := &Watcher{handle: h, report: report, failed: failed, links: make(chan struct{}, 1), addrs: make(chan struct{}, 1), asked: make(chan func(), 1)}
	// Subscribed before it is read, so that nothing falls between.
	if w.changes, err = subscribe(); err == nil {
		w.last, err = w.read()
	}
	if err != nil {
		w.close()
		return nil, nil, err
	}
	return w, w.last, nil
}

// Run follows changes until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	defer w.close()
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		w.listen(ctx)
	}()
	defer func() { <-listening }()
	next := time.NewTimer(audit)
	defer next.Stop()
	gathering := false // the timer is set for addresses that changed
	for {
		ok := true
		select {
		case <-ctx.Done():
			return
		case then := <-w.asked:
			ok = w.refresh()
			then()
		case <-w.links:
			ok = w.refreshLinks()
		case <-w.addrs:
			if !gathering { // not put off further by changes that go on and on
				gathering = true
				next.Reset(settle)
			}
			continue
		case <-next.C:
			gathering = false
			ok = w.refresh()
			next.Reset(audit)
		}
		if !ok {
			gathering = true
			next.Reset(again)
		}
	}
}

// Read has everything read now, whether or not a change was heard of. After
// what changed has been reported, or could not be read, then is called. Read
// does not wait; it reports false if an earlier one has not begun yet.
func (w *Watcher) Read(then func()) bool {
	select {
	case w.asked <- then:
		return true
	default:
		return false
	}
}

func (w *Watcher) read() (Snapshot, error) {
	s, err := readLinks(w.handle, nil)
	if err == nil {
		err = addAddresses(w.handle, s)
	}
	if err != nil {
		return nil, fmt.Errorf("read interfaces: %w", err)
	}
	return s, nil
}

// refresh reads everything and reports whether it could.
func (w *Watcher) refresh() bool {
	s, err := w.read()
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return false // addresses change faster than they can be listed: nothing is wrong
	}
	if err != nil {
		w.failed(err)
		return false
	}
	w.publish(s)
	return true
}

// refreshLinks reads the links alone, for which nobody should wait, unless an
// interface is new and its addresses unknown.
func (w *Watcher) refreshLinks() bool {
	s, err := readLinks(w.handle, w.last)
	if err != nil {
		w.failed(fmt.Errorf("read links: %w", err))
		return false
	}
	for name, i := range s {
		if w.last[name].Index != i.Index || w.last[name].Up != i.Up || w.last[name].Carrier != i.Carrier {
			if err = addAddresses(w.handle, s); err != nil {
				w.failed(fmt.Errorf("read addresses: %w", err))
			}
			break
		}
	}
	w.publish(s) // of the links at least
	return err == nil
}

func (w *Watcher) publish(s Snapshot) {
	if !s.Equal(w.last) {
		w.last = s
		w.report(s)
	}
}

func (w *Watcher) close() {
	if w.changes != nil {
		_ = w.changes.Close() // nothing was written
	}
	w.handle.Close()
}
