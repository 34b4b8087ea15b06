package daemon

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"vrrpd/vrrp"
)

// A checkBoard is where the engine writes what checks want to know, so that
// they need not ask the loop: it is written seldom and read before every run.
type checkBoard struct {
	mu       sync.Mutex
	trackers map[string][]string   // the instances that track a check, in the order of the file
	states   map[string]vrrp.State // of instances
	wakes    map[string]map[*func()]struct{}
}

func newCheckBoard() *checkBoard {
	return &checkBoard{wakes: map[string]map[*func()]struct{}{}}
}

// set replaces all that is known of instances.
func (b *checkBoard) set(trackers map[string][]string, states map[string]vrrp.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trackers, b.states = trackers, states
}

// turned notes the state of an instance. One that is not of the plan any more
// is nobody's concern.
func (b *checkBoard) turned(instance string, to vrrp.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.states[instance]; ok {
		b.states[instance] = to
	}
}

// state is that of an instance; ok is false if there is none of that name.
func (b *checkBoard) state(instance string) (s vrrp.State, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok = b.states[instance]
	return s, ok
}

// instances names those that track a check.
func (b *checkBoard) instances(check string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.trackers[check])
}

// precedence orders the states of several instances: what VRRPD_STATE says is
// the first that any of them is in.
var precedence = []vrrp.State{vrrp.Active, vrrp.Backup, vrrp.Fault, vrrp.Initialize}

// environ is what a check is told: VRRPD_INSTANCES, the instances that track it;
// VRRPD_INSTANCE, if it is one; and VRRPD_STATE, the state of the instance, of
// several the first of active, backup, fault and initialize that one is in.
func (b *checkBoard) environ(check string) []string { return b.environAs(b.instances(check)) }

// environAs is environ as though these instances, and no others, tracked the
// check.
func (b *checkBoard) environAs(instances []string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	env := []string{"VRRPD_INSTANCES=" + strings.Join(instances, " ")}
	if len(instances) == 1 {
		env = append(env, "VRRPD_INSTANCE="+instances[0])
	}
	for _, s := range precedence {
		if slices.ContainsFunc(instances, func(i string) bool { return b.states[i] == s }) {
			return append(env, "VRRPD_STATE="+s.String())
		}
	}
	return env
}

// follow has wake called whenever the health of a bond has changed, until
// ignore is called.
func (b *checkBoard) follow(bond string, wake func()) (ignore func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wakes[bond] == nil {
		b.wakes[bond] = map[*func()]struct{}{}
	}
	b.wakes[bond][&wake] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.wakes[bond], &wake)
		if len(b.wakes[bond]) == 0 {
			delete(b.wakes, bond)
		}
	}
}

// bondTurned wakes who follows a bond.
func (b *checkBoard) bondTurned(bond string) {
	b.mu.Lock()
	wakes := slices.Collect(maps.Keys(b.wakes[bond]))
	b.mu.Unlock()
	for _, wake := range wakes {
		(*wake)() // it returns at once
	}
}
