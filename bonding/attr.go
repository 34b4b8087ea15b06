package bonding

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Netlink attributes (include/uapi/linux/netlink.h): a length, a type, a value,
// padded to four bytes; numbers in the byte order of the machine.

const attrHeader = 4

var errAttr = errors.New("malformed netlink attribute")

// eachAttr calls f for every attribute of b. Flags in the type are taken off.
func eachAttr(b []byte, f func(typ uint16, value []byte)) error {
	for len(b) >= attrHeader {
		n := int(binary.NativeEndian.Uint16(b))
		typ := binary.NativeEndian.Uint16(b[2:])
		if n < attrHeader || n > len(b) {
			return errAttr
		}
		f(typ&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[attrHeader:n])
		b = b[min(align4(n), len(b)):]
	}
	if len(b) != 0 {
		return errAttr
	}
	return nil
}

func align4(n int) int { return (n + 3) &^ 3 }

// Values shorter than expected read as zero: a kernel that sends less than we
// know of is an older kernel.

func attrU8(v []byte) uint8 {
	if len(v) < 1 {
		return 0
	}
	return v[0]
}

func attrU16(v []byte) uint16 {
	if len(v) < 2 {
		return uint16(attrU8(v))
	}
	return binary.NativeEndian.Uint16(v)
}

func attrU32(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

func attrString(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// attrAddrs reads the nested list of addresses of the ARP and NS monitors.
func attrAddrs(v []byte) []netip.Addr {
	var addrs []netip.Addr
	err := eachAttr(v, func(_ uint16, value []byte) {
		if a, ok := netip.AddrFromSlice(value); ok {
			addrs = append(addrs, a)
		}
	})
	if err != nil {
		return nil
	}
	return addrs
}

// attrs builds a list of attributes.
type attrs []byte

func (a *attrs) bytes(typ uint16, v []byte) {
	n := attrHeader + len(v)
	*a = binary.NativeEndian.AppendUint16(*a, uint16(n))
	*a = binary.NativeEndian.AppendUint16(*a, typ)
	*a = append(*a, v...)
	*a = append(*a, make([]byte, align4(n)-n)...)
}

func (a *attrs) u8(typ uint16, v uint8)   { a.bytes(typ, []byte{v}) }
func (a *attrs) u32(typ uint16, v uint32) { a.bytes(typ, binary.NativeEndian.AppendUint32(nil, v)) }
func (a *attrs) str(typ uint16, v string) { a.bytes(typ, append([]byte(v), 0)) }
func (a *attrs) nest(typ uint16, v attrs) { a.bytes(typ|unix.NLA_F_NESTED, v) }

// linkInfo wraps the attributes of a bond the way RTM_NEWLINK wants them.
func linkInfo(data attrs) attrs {
	var info, all attrs
	info.str(unix.IFLA_INFO_KIND, "bond")
	if data != nil {
		info.nest(unix.IFLA_INFO_DATA, data)
	}
	all.nest(unix.IFLA_LINKINFO, info)
	return all
}
