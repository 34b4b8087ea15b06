package probe

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A FileTest is what a file is asked for.
type FileTest int

const (
	_          FileTest = iota
	FileExists          // passes while there is something of that name
	FileAbsent          // passes while there is not: a mark that takes a node out of service
	FileNumber          // passes while a number can be read from it: see Outcome.Value
)

// FileMin and FileMax bound the number of a [FileNumber].
const (
	FileMin = -253
	FileMax = 253
)

// fileRead is how much of a file is read, in bytes. One that long holds more
// than a number.
const fileRead = 256

// blank is how long a file may be empty while it is being written anew, and how
// often it is looked at meanwhile.
const (
	blank      = 50 * time.Millisecond
	blankAgain = 5 * time.Millisecond
)

// File looks at a file. Links are followed. With FileNumber it must be a
// regular file that holds a whole number from FileMin to FileMax on its first
// line, with nothing beside it but white space. Write such a file by renaming
// another over it; one that is found empty is looked at again for 50 ms.
//
// Changes are noticed at once (inotify), also if the directory comes into being
// later. Behind a symbolic link only the link itself is watched.
type File struct {
	Path   string // absolute
	Test   FileTest
	MaxAge time.Duration // fail if it was last written longer ago; 0: any age
}

type fileProbe struct {
	spec  File
	aside aside
}

// New judges the spec.
func (s File) New() (Probe, error) {
	switch {
	case !filepath.IsAbs(s.Path) || strings.ContainsRune(s.Path, 0):
		return nil, invalid("path", "%q is not an absolute path", s.Path)
	case s.Test < FileExists || s.Test > FileNumber:
		return nil, invalid("test", "it must be said what the file is asked for")
	case s.MaxAge < 0:
		return nil, invalid("max_age", "%s is negative", s.MaxAge)
	case s.MaxAge > 0 && s.Test == FileAbsent:
		return nil, invalid("max_age", "a file that is to be absent has no age")
	}
	s.Path = filepath.Clean(s.Path)
	if s.Path == "/" {
		return nil, invalid("path", "/ is always there")
	}
	return &fileProbe{spec: s, aside: newAside()}, nil
}

func (p *fileProbe) String() string { return "file " + p.spec.Path }

func (p *fileProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	return p.aside.do(l, func() Outcome {
		st, err := os.Stat(p.spec.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
			out := fail("%s does not exist", p.spec.Path)
			out.Passed = p.spec.Test == FileAbsent
			return out
		case err != nil:
			return fail("%s: %s", p.spec.Path, l.why(err))
		case p.spec.Test == FileAbsent:
			return fail("%s exists", p.spec.Path)
		}
		if p.spec.MaxAge > 0 {
			if age := time.Since(st.ModTime()); age > p.spec.MaxAge {
				return fail("%s was last written %s ago, longer than %s", p.spec.Path, age.Round(time.Second), p.spec.MaxAge)
			}
		}
		if p.spec.Test == FileExists {
			return pass("%s exists", p.spec.Path)
		}
		return p.number(l)
	})
}

// number reads the number, and waits a moment for whoever has just emptied the
// file to write it.
func (p *fileProbe) number(l look) Outcome {
	for end := time.Now().Add(blank); ; time.Sleep(blankAgain) {
		text, err := readBeginning(p.spec.Path, fileRead)
		if err != nil {
			return fail("%s: %s", p.spec.Path, l.why(err))
		}
		if len(text) == 0 && time.Now().Before(end) && !gone(l.ctx) {
			continue
		}
		line := oneLine(text, outputLimit)
		n, err := strconv.Atoi(strings.TrimSpace(text))
		switch {
		case len(text) == 0:
			return fail("%s is empty", p.spec.Path)
		case len(text) == fileRead || err != nil || n < FileMin || n > FileMax:
			out := fail("%s: %q is not a whole number from %d to %d", p.spec.Path, line, FileMin, FileMax)
			out.Output = line
			return out
		}
		out := pass("%s says %d", p.spec.Path, n)
		out.Output, out.Value, out.HasValue = line, n, true
		return out
	}
}

var errNotRegular = errors.New("it is not a regular file")

// readBeginning reads up to limit bytes. It opens without waiting, so that a
// FIFO without a writer holds nothing up.
func readBeginning(path string, limit int) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", errNotRegular
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)))
	return string(b), err
}

// Watch notices that the file is made, written, renamed or removed.
func (p *fileProbe) Watch(ctx context.Context, wake func()) error {
	events := uint32(unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB)
	if p.spec.Test == FileNumber || p.spec.MaxAge > 0 {
		events |= unix.IN_MODIFY // by a program that keeps the file open
	}
	return watchPath(ctx, p.spec.Path, events, wake)
}
