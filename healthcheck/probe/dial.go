package probe

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dialer connects from an address, over a device, or as the kernel thinks best.
func dialer(source netip.Addr, device string) *net.Dialer {
	d := &net.Dialer{KeepAlive: -1} // no connection lives long enough to need it
	if source.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: source.AsSlice(), Zone: zoneNow(source.Zone())}
	}
	if device != "" {
		d.Control = func(_, _ string, conn syscall.RawConn) error {
			var bindErr error
			err := conn.Control(func(fd uintptr) { bindErr = unix.BindToDevice(int(fd), device) })
			if err == nil {
				err = bindErr
			}
			return err
		}
	}
	return d
}

// dial connects to "host:port". An interface in the address is looked up anew.
func dial(ctx context.Context, source netip.Addr, device, address string) (net.Conn, error) {
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().Zone() != "" {
		address = netip.AddrPortFrom(ap.Addr().WithZone(zoneNow(ap.Addr().Zone())), ap.Port()).String()
	}
	return dialer(source, device).DialContext(ctx, "tcp", address)
}

// zoneNow is the number of an interface, as a zone. Package net remembers for a
// minute which number belongs to a name, and one that was made anew meanwhile
// has another.
func zoneNow(zone string) string {
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return strconv.Itoa(ifi.Index)
	}
	return zone // what is wrong with it shows when it is used
}

// checkFrom judges where a probe starts from. The target is the zero Addr where
// only a name is known.
func checkFrom(source netip.Addr, device string, target netip.Addr) error {
	if source.IsValid() && source.IsUnspecified() {
		return invalid("source", "%s is no address of a host", source)
	}
	if source.IsValid() && target.IsValid() && source.Unmap().Is4() != target.Unmap().Is4() {
		return invalid("source", "%s and %s are not of the same family", source, target)
	}
	if device != "" {
		return checkInterface("device", device)
	}
	return nil
}

// checkInterface judges the name of an interface by what the kernel allows
// (dev_valid_name in net/core/dev.c).
func checkInterface(field, name string) error {
	switch {
	case name == "":
		return invalid(field, "it names no interface")
	case len(name) >= unix.IFNAMSIZ:
		return invalid(field, "%q is longer than the %d bytes an interface's name may have", name, unix.IFNAMSIZ-1)
	case name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		return invalid(field, "%q cannot be the name of an interface", name)
	}
	return nil
}

// checkHostPort judges "host:port" and returns the host's address, if it is one.
func checkHostPort(field, address string) (netip.Addr, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.Addr{}, invalid(field, "%q is not a host and a port, such as 192.0.2.1:80 or [2001:db8::1]:80", address)
	}
	if host == "" {
		return netip.Addr{}, invalid(field, "%q names no host", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return netip.Addr{}, invalid(field, "%q is not a port from 1 to 65535", port)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil && !hostName(host) {
		return netip.Addr{}, invalid(field, "%q is neither an address nor a name", host)
	}
	return addr, nil
}

// hostName reports whether s could be the name of a host (RFC 1123 §2.1), with
// the underscore that many use.
func hostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	// All digits and dots would be a misspelt address.
	numeric := true
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			letter := c == '-' || c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
			if !letter && (c < '0' || c > '9') {
				return false
			}
			numeric = numeric && !letter
		}
	}
	return !numeric
}
