// Package vrrp is the Virtual Router Redundancy Protocol, version 2 (RFC 3768,
// with the simple text password of RFC 2338) and version 3 (RFC 9568 with its
// verified errata), for IPv4 and IPv6.
//
// The package is pure: it reads no clock, opens no socket, starts no goroutine
// and logs nothing. A [Router] is one virtual router of one node. It is told
// what happened and when, and answers with what is to be done, in order:
//
//	r := vrrp.NewRouter(config)
//	for _, action := range r.Step(now, vrrp.Event{Kind: vrrp.EventStartup}) {
//		// send an advertisement, set the timer, hold the addresses, …
//	}
//
// A [Group] is a set of routers that become active and backup together.
//
// The wire format is in advert.go (RFC 9568 §5.2, RFC 3768 §5.3), what a
// receiver checks in decode.go and policy.go (RFC 9568 §7.1), the election in
// router.go and its companions (RFC 9568 §6.4), the timers in timers.go
// (RFC 9568 §6.1).
package vrrp
