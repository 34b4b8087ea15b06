package lab

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a raw socket that stamps what it receives in the kernel, so that
// a busy machine does not look like a slow network, and whose pending read
// ends when it is closed.
type socket struct {
	file *os.File
	raw  syscall.RawConn
}

// newSocket takes over a descriptor.
func newSocket(fd int, name string) (*socket, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: timestamps: %w", name, err)
	}
	// Not every machine allows more than the default; best effort by design.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	f := os.NewFile(uintptr(fd), name)
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &socket{file: f, raw: raw}, nil
}

// packetSocket opens an AF_PACKET socket for one protocol on one interface of
// the current namespace.
func packetSocket(proto uint16, ifindex int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(proto)))
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(proto), Ifindex: ifindex}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket: bind: %w", err)
	}
	return newSocket(fd, "packet socket")
}

// recv reads one datagram and the wall-clock time at which the kernel got it. It
// returns os.ErrClosed once the socket is closed.
func (s *socket) recv(buf []byte) (n int, at time.Time, err error) {
	var oob [128]byte
	var oobn int
	waitErr := s.raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), buf, oob[:], 0)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if waitErr != nil { // there is no deadline, so it was closed
		return 0, time.Time{}, os.ErrClosed
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	return n, timestamp(oob[:oobn]), nil
}

// timestamp finds the kernel's time stamp among the control messages.
func timestamp(oob []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS &&
			len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			ts := *(*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Unix(ts.Unix())
		}
	}
	return time.Now()
}

// send writes one datagram to an address.
func (s *socket) send(b []byte, to unix.Sockaddr) error {
	var err error
	ctlErr := s.raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), b, 0, to) })
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

func (s *socket) close() { s.file.Close() }

func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// onesSum is the Internet checksum's sum of 16-bit words (RFC 1071), carried
// on from sum and not yet complemented.
func onesSum(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

// pseudoSum is the sum over the pseudo-header of a payload.
func pseudoSum(src, dst []byte, proto byte, length int) uint32 {
	sum := onesSum(onesSum(0, src), dst)
	return onesSum(sum, []byte{0, proto, byte(length >> 8), byte(length)})
}
