package integration

import (
	"testing"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// forge sends a VRRP message as it is from a host to the IPv4 group.
func forge(t *testing.T, h *lab.Host, message []byte) {
	t.Helper()
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 112)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255); err != nil {
			return err
		}
		if err := unix.BindToDevice(fd, "eth0"); err != nil {
			return err
		}
		return unix.Sendto(fd, message, 0, &unix.SockaddrInet4{Addr: [4]byte{224, 0, 0, 18}})
	})
	if err != nil {
		t.Fatalf("send from %s: %v", h.Name, err)
	}
}
