package lab

import (
	"bufio"
	"encoding/binary"
	"os"
)

// pcapWriter writes a capture file of Ethernet frames with nanosecond stamps
// (draft-ietf-opsawg-pcap), for other programs to judge.
type pcapWriter struct {
	path string
	file *os.File
	buf  *bufio.Writer
}

func newPcap(path string) (*pcapWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	const nanosecondMagic, snapLen, ethernet = 0xa1b23c4d, 1 << 16, 1
	var head []byte
	head = binary.LittleEndian.AppendUint32(head, nanosecondMagic)
	head = binary.LittleEndian.AppendUint16(head, 2) // version 2.4
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, snapLen)
	head = binary.LittleEndian.AppendUint32(head, ethernet)
	w := &pcapWriter{path: path, file: f, buf: bufio.NewWriter(f)}
	_, err = w.buf.Write(head)
	return w, err
}

func (w *pcapWriter) write(f Frame) error {
	var head []byte
	head = binary.LittleEndian.AppendUint32(head, uint32(f.At.Unix()))
	head = binary.LittleEndian.AppendUint32(head, uint32(f.At.Nanosecond()))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(f.Data)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(f.Data)))
	if _, err := w.buf.Write(head); err != nil {
		return err
	}
	_, err := w.buf.Write(f.Data)
	return err
}

// close may be called again; the file is complete after the first time.
func (w *pcapWriter) close() error {
	if w.file == nil {
		return nil
	}
	err := w.buf.Flush()
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	w.file = nil
	return err
}
