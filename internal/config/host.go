package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"vrrpd/bonding"
	"vrrpd/healthcheck"
)

// HostEnv is the Env of the host this process runs on. It leaves out
// InterfaceExists and BondsUnder; who wants to be warned sets them to the
// functions of those names.
func HostEnv() Env {
	return Env{
		Hostname:    os.Hostname,
		DefaultUser: healthcheck.DefaultUser,
		LookupUser:  healthcheck.LookupUser,
		Vet:         healthcheck.Vet,
		ReadFile:    readFile,
	}
}

// InterfaceExists reports whether the host has a network interface.
func InterfaceExists(name string) bool {
	_, err := os.Stat("/sys/class/net/" + name)
	return !errors.Is(err, fs.ErrNotExist)
}

// BondsUnder reads the bonds of the host that an interface runs over, directly
// or as a VLAN, bridge, macvlan or VRF; none if they cannot be read.
func BondsUnder(iface string) (bonds []bonding.Bond) {
	h, err := bonding.Open()
	if err != nil {
		return nil
	}
	defer h.Close() // nothing is lost by it: it only read
	names, err := h.BondsUnder(iface)
	if err != nil {
		return nil
	}
	for _, name := range names {
		if bond, err := h.Bond(name); err == nil {
			bonds = append(bonds, bond)
		}
	}
	return bonds
}

// readFile reads a file of bounded size. Of what is no regular file it takes
// only an open descriptor, as a shell hands it over for <(…): reading a named
// pipe or a device could block for ever.
func readFile(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() && path != "/dev/stdin" && !strings.HasPrefix(path, "/dev/fd/") && !strings.HasPrefix(path, "/proc/self/fd/") {
		return nil, 0, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, 0, err
	}
	if len(data) > maxFile {
		return nil, 0, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return data, info.Mode(), nil
}
