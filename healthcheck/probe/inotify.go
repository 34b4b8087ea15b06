package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A pathWatch follows one name in its directory, or, as long as that does not
// exist, the next name on the way there (inotify(7)). The directory is watched
// rather than the file, because a file that is renamed over another is another
// file. What is renamed further up on the way goes unnoticed.
type pathWatch struct {
	file   *os.File
	fd     int // of file, whose Fd would make it block
	path   string
	events uint32 // asked for the path itself
	wd     int    // of the directory watched
	name   string // in it
	final  bool   // name is the last element of path
}

// watchPath calls wake once it watches, and then for every event on path, until
// ctx ends.
func watchPath(ctx context.Context, path string, events uint32, wake func()) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		// EMFILE: fs.inotify.max_user_instances.
		return fmt.Errorf("watch %s: %w", path, os.NewSyscallError("inotify_init1", err))
	}
	w := &pathWatch{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, path: path, events: events, wd: -1}
	defer w.file.Close()
	defer context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })()
	if err := w.attach(); err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	wake()
	buf := make([]byte, 16<<10)
	for {
		n, err := w.file.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", path, err)
		}
		ours, lost := w.read(buf[:n])
		if lost {
			if err := w.attach(); err != nil {
				return fmt.Errorf("watch %s: %w", path, err)
			}
		}
		if ours || lost {
			wake()
		}
	}
}

// attach watches the deepest directory on the way to the path that exists.
// Afterwards it looks whether the next one has come into being meanwhile.
func (w *pathWatch) attach() error {
	for {
		if w.wd >= 0 {
			// It may be gone with its directory.
			_, _ = unix.InotifyRmWatch(w.fd, uint32(w.wd))
			w.wd = -1
		}
		dir, name := filepath.Dir(w.path), filepath.Base(w.path)
		final := true
		for {
			events := w.events
			if !final {
				events = unix.IN_CREATE | unix.IN_MOVED_TO
			}
			wd, err := unix.InotifyAddWatch(w.fd, dir, events|unix.IN_ONLYDIR|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF)
			if err == nil {
				w.wd, w.name, w.final = wd, name, final
				break
			}
			if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) || dir == "/" {
				return os.NewSyscallError("inotify_add_watch "+dir, err)
			}
			dir, name, final = filepath.Dir(dir), filepath.Base(dir), false
		}
		if final {
			return nil
		}
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || !st.IsDir() {
			return nil
		}
	}
}

// read goes through events: was one of them about the path itself, and must the
// watch be put elsewhere?
func (w *pathWatch) read(b []byte) (ours, lost bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(b)))
		mask := binary.NativeEndian.Uint32(b[4:])
		end := min(unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:])), len(b))
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
		b = b[end:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			return true, true
		case wd != w.wd: // of a watch that was given up
		case mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0:
			lost = true
		case string(name) == w.name && w.final:
			ours = true
		case string(name) == w.name:
			lost = true
		}
	}
	return ours, lost
}
