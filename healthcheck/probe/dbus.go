package probe

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// Limits of what is read from a bus, in bytes. Properties of a unit that
// changed are a few kilobytes.
const (
	dbusFields = 16 << 10
	dbusBody   = 256 << 10
)

// A dbusConn speaks as much of D-Bus as it takes to ask systemd something: calls
// with strings, answers with a string, signals by their path (D-Bus
// Specification 0.38).
type dbusConn struct {
	net.Conn
	in     *bufio.Reader
	serial uint32
	direct bool // systemd itself is at the other end, not a bus
}

// A dbusSocket is a place where systemd can be asked.
type dbusSocket struct {
	path   string
	direct bool
}

// dialDBus connects, and closes the connection when ctx ends. stop releases ctx.
func dialDBus(ctx context.Context, at dbusSocket) (c *dbusConn, stop func() bool, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", at.path)
	if err != nil {
		return nil, nil, err
	}
	c = &dbusConn{Conn: conn, in: bufio.NewReader(conn), direct: at.direct}
	stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err = c.authenticate(); err == nil && !at.direct {
		_, err = c.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
	}
	if err != nil {
		stop()
		_ = conn.Close() // the first error tells
		return nil, nil, err
	}
	return c, stop, nil
}

// authenticate says who we are, which the kernel confirms to the other side.
// BEGIN goes along, as systemd's own library does it: were it sent together
// with the first call, systemd would leave that call lying until another comes.
func (c *dbusConn) authenticate() error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := io.WriteString(c, "\x00AUTH EXTERNAL "+uid+"\r\nBEGIN\r\n"); err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n') // no longer than the buffer
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return fmt.Errorf("authenticate: %s", oneLine(string(line), outputLimit))
	}
	return nil
}

// Types of messages, and codes of header fields.
const (
	dbusCall, dbusReturn, dbusError, dbusSignal = 1, 2, 3, 4

	fieldPath, fieldInterface, fieldMember, fieldErrorName = 1, 2, 3, 4
	fieldReplySerial, fieldDestination, fieldSignature     = 5, 6, 8
)

// A dbusMessage is one that came in.
type dbusMessage struct {
	kind                               byte
	replyTo                            uint32
	path, member, errorName, signature string
	body                               []byte
	order                              binary.ByteOrder
}

var errDBus = errors.New("a message that is no D-Bus")

// call calls a method with strings, and returns its answer. What else comes
// meanwhile is dropped. systemd does not answer without a destination, even
// where there is no bus to choose it.
func (c *dbusConn) call(destination, path, iface, member string, args ...string) (*dbusMessage, error) {
	c.serial++
	if _, err := c.Write(marshalCall(c.serial, destination, path, iface, member, args)); err != nil {
		return nil, err
	}
	for {
		m, err := c.receive()
		if err != nil {
			return nil, err
		}
		if m.replyTo != c.serial || m.kind != dbusReturn && m.kind != dbusError {
			continue
		}
		if m.kind == dbusError {
			text, _ := m.text()
			return nil, errors.New(strings.TrimSuffix(m.errorName+": "+text, ": "))
		}
		return m, nil
	}
}

// marshalCall builds a method call in little endian.
func marshalCall(serial uint32, destination, path, iface, member string, args []string) []byte {
	le := binary.LittleEndian
	var body []byte
	for _, a := range args {
		body = appendString(pad(body, 4), a)
	}
	b := []byte{'l', dbusCall, 0, 1}
	b = le.AppendUint32(b, uint32(len(body)))
	b = le.AppendUint32(b, serial)
	b = le.AppendUint32(b, 0) // length of the fields, below
	field := func(code byte, signature, value string) {
		if value == "" {
			return
		}
		b = append(pad(b, 8), code, 1, signature[0], 0)
		if signature == "g" {
			b = append(append(append(b, byte(len(value))), value...), 0)
		} else {
			b = appendString(pad(b, 4), value)
		}
	}
	field(fieldPath, "o", path)
	field(fieldInterface, "s", iface)
	field(fieldMember, "s", member)
	field(fieldDestination, "s", destination)
	field(fieldSignature, "g", strings.Repeat("s", len(args)))
	le.PutUint32(b[12:], uint32(len(b)-16))
	return append(pad(b, 8), body...)
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(append(b, s...), 0)
}

func pad(b []byte, to int) []byte {
	for len(b)%to != 0 {
		b = append(b, 0)
	}
	return b
}

// receive reads one message.
func (c *dbusConn) receive() (*dbusMessage, error) {
	var head [16]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	m := &dbusMessage{kind: head[1]}
	switch head[0] {
	case 'l':
		m.order = binary.LittleEndian
	case 'B':
		m.order = binary.BigEndian
	default:
		return nil, errDBus
	}
	bodyLen, fieldsLen := m.order.Uint32(head[4:]), m.order.Uint32(head[12:])
	if fieldsLen > dbusFields || bodyLen > dbusBody {
		return nil, fmt.Errorf("a D-Bus message of %d bytes", uint64(bodyLen)+uint64(fieldsLen))
	}
	rest := make([]byte, (int(fieldsLen)+7)/8*8+int(bodyLen))
	if _, err := io.ReadFull(c.in, rest); err != nil {
		return nil, err
	}
	m.body = rest[len(rest)-int(bodyLen):]
	return m, m.readFields(rest[:fieldsLen])
}

// readFields reads the header fields: an array of (code, variant), each at a
// multiple of 8. Its beginning is at one too.
func (m *dbusMessage) readFields(b []byte) error {
	r := dbusReader{b: b, order: m.order}
	for len(r.b) > r.at {
		r.align(8)
		code := r.byte()
		switch signature := r.signature(); signature {
		case "s", "o":
			value := r.string()
			switch code {
			case fieldPath:
				m.path = value
			case fieldMember:
				m.member = value
			case fieldErrorName:
				m.errorName = value
			}
		case "g":
			if value := r.signature(); code == fieldSignature {
				m.signature = value
			}
		case "u":
			if value := r.uint32(); code == fieldReplySerial {
				m.replyTo = value
			}
		default: // no field is of another type; Unix descriptors are never sent to us
			return errDBus
		}
		if r.failed {
			return errDBus
		}
	}
	return nil
}

// text is the first value of the body, if it is a string or a variant of one.
func (m *dbusMessage) text() (string, error) {
	r := dbusReader{b: m.body, order: m.order}
	signature := m.signature
	if strings.HasPrefix(signature, "v") {
		signature = r.signature()
	}
	if !strings.HasPrefix(signature, "s") {
		return "", fmt.Errorf("an answer of type %q instead of a string", oneLine(m.signature, outputLimit))
	}
	if s := r.string(); !r.failed {
		return s, nil
	}
	return "", errDBus
}

// A dbusReader takes values from a message. Once one does not fit it has failed,
// and the others are zero.
type dbusReader struct {
	b      []byte
	at     int
	order  binary.ByteOrder
	failed bool
}

func (r *dbusReader) take(n uint32) []byte {
	if r.failed || uint64(n) > uint64(len(r.b)-r.at) {
		r.failed = true
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at]
}

func (r *dbusReader) align(to int) { r.take(uint32((to - r.at%to) % to)) }

func (r *dbusReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *dbusReader) uint32() uint32 {
	r.align(4)
	if b := r.take(4); b != nil {
		return r.order.Uint32(b)
	}
	return 0
}

func (r *dbusReader) string() string {
	s := string(r.take(r.uint32()))
	r.take(1) // the NUL behind it
	return s
}

func (r *dbusReader) signature() string {
	s := string(r.take(uint32(r.byte())))
	r.take(1)
	return s
}
