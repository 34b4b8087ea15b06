package config

import (
	"io/fs"

	"vrrpd/bonding"
	"vrrpd/healthcheck"
)

// Env is what a plan depends on beyond its file. A nil function leaves out
// what it would have contributed, so that the zero Env reads files purely.
type Env struct {
	// Hostname is the default of node.name.
	Hostname func() (string, error)
	// DefaultUser is whom a check without the key `user` runs as; nil is the daemon's own user.
	DefaultUser func() *healthcheck.Credential
	// LookupUser finds the identity behind a user name.
	LookupUser func(name string) (*healthcheck.Credential, error)
	// Vet says why a command must not or cannot be run, best as a
	// *healthcheck.VetError. runAs nil is the daemon's own user.
	Vet func(command []string, runAs *healthcheck.Credential) error
	// Parsers is how many goroutines may parse a large file at once; 0 is one. A
	// daemon that is running has better uses for its processors.
	Parsers int
	// ReadFile reads the configuration and password files.
	ReadFile func(path string) (data []byte, mode fs.FileMode, err error)
	// InterfaceExists lets an absent interface be a warning. The daemon, which
	// waits for interfaces, leaves it nil.
	InterfaceExists func(name string) bool
	// BondsUnder reads the bonds of the host that an interface runs over. It lets
	// an advert interval too short for a bond's monitor be a warning. The daemon,
	// whose bonds may change, leaves it nil.
	BondsUnder func(iface string) []bonding.Bond
}
