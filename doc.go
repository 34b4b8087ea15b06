// Package vrrpd is the root of the module of vrrpd, a VRRP daemon for Linux.
// It holds no code, only the tests of what the repository as a whole promises:
// which package may import which, that documents name what exists, that
// configurations in them load.
//
// The programs are in cmd/vrrpd and cmd/vrrpctl. The packages vrrp,
// vrrp/transport, healthcheck, vip and bonding can be used without the daemon.
// docs/architecture.md tells how the rooms of the house belong together.
package vrrpd
