package bonding

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolCmd is struct ethtool_cmd of include/uapi/linux/ethtool.h. The older
// of the two requests for speed and duplex: every kernel answers it, in one
// call, and no value asked for here needs the newer one.
type ethtoolCmd struct {
	cmd                uint32
	supported          uint32
	advertising        uint32
	speed              uint16
	duplex             uint8
	port, phy, trans   uint8
	autoneg, mdio      uint8
	maxtxpkt, maxrxpkt uint32
	speedHigh          uint16
	mdix, mdixControl  uint8
	partner            uint32
	reserved           [2]uint32
}

// ifreqData is struct ifreq with a pointer as its value.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// hardware fills in what only the network cards know. It asks through the
// netlink socket, which is in the right namespace. A link that does not tell,
// or has just gone, keeps its zero values.
func (h *Handle) hardware(links []Link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return
	}
	for i := range links {
		l := &links[i]
		if info, err := unix.IoctlGetEthtoolDrvinfo(h.fd, l.Name); err == nil {
			l.Driver = attrString(info.Driver[:])
			l.Bus = attrString(info.Bus_info[:])
		}
		l.Speed, l.Duplex = speedOf(h.fd, l.Name)
	}
}

// speedOf is the speed in Mbit/s, 0 if unknown, and the duplex.
func speedOf(fd int, name string) (int, Duplex) {
	cmd := ethtoolCmd{cmd: unix.ETHTOOL_GSET}
	req := ifreqData{data: unsafe.Pointer(&cmd)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(&cmd)
	if errno != 0 {
		return 0, DuplexUnknown
	}
	const unknown = 0xffffffff
	speed := uint32(cmd.speedHigh)<<16 | uint32(cmd.speed)
	if speed == unknown {
		speed = 0
	}
	switch cmd.duplex {
	case 0:
		return int(speed), DuplexHalf
	case 1:
		return int(speed), DuplexFull
	default:
		return int(speed), DuplexUnknown
	}
}
