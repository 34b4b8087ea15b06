package healthcheck

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// headSize is how much of a script the kernel reads to find its
	// interpreter (BINPRM_BUF_SIZE; 128 before Linux 5.1).
	headSize = 256

	// interpretersMax is how many interpreters may stand one behind the other:
	// a script may be interpreted by a script (execve(2)).
	interpretersMax = 4
)

// script vets what lies behind an executable file: if it begins with #!, its
// interpreter. Where this process may not read the file, that is left to the
// kernel.
func (v vetter) script(path string, st *syscall.Stat_t, depth int) error {
	head, err := readHead(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return unreadable(path, err)
	}
	line, isScript := bytes.CutPrefix(head, []byte("#!"))
	if !isScript {
		// Without a shell in between nobody guesses that it is for /bin/sh.
		// Other formats may be known to the kernel (binfmt_misc), text is not.
		if !bytes.ContainsRune(head, 0) {
			return refuse(path, "is neither a program nor a script that names its interpreter", "begin it with a line such as #!/bin/sh")
		}
		return nil
	}
	if depth == 0 {
		return refuse(path, "is one interpreter too many", "name a program as the interpreter")
	}
	if !v.may(path, st, read) {
		return refuse(path, "is a script that user "+v.runAs.User+" cannot read", "chmod it, or set another user")
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	if bytes.HasSuffix(line, []byte("\r")) {
		return refuse(path, "has a first line that ends in CR LF", "convert it to Unix line ends")
	}
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return refuse(path, "names no interpreter after #!", "begin it with a line such as #!/bin/sh")
	}
	if !filepath.IsAbs(words[0]) {
		return refuse(path, "names the interpreter "+words[0]+", which is not an absolute path", "write its full path")
	}
	if err := v.program(words[0], depth-1); err != nil {
		return interpreterOf(path, err)
	}
	if filepath.Base(words[0]) == "env" && len(words) == 2 && !strings.HasPrefix(words[1], "-") && !strings.ContainsAny(words[1], "=/") {
		return v.onPath(path, words[1], depth-1)
	}
	return nil
}

// onPath vets what "#!/usr/bin/env NAME" leads to.
func (v vetter) onPath(script, name string, depth int) error {
	for _, dir := range filepath.SplitList(searchPath) {
		program := filepath.Join(dir, name)
		if _, err := os.Stat(program); err != nil {
			continue
		}
		if err := v.program(program, depth); err != nil {
			return interpreterOf(script, err)
		}
		return nil
	}
	return refuse(script, "asks env for "+name+", which is nowhere in "+searchPath, "install it, or write its full path")
}

// interpreterOf says whose interpreter a problem is about. Of several, one
// behind the other, that is the innermost script.
func interpreterOf(script string, err error) error {
	const prefix = "interpreter of "
	ve, ok := errors.AsType[*VetError](err)
	if !ok || strings.HasPrefix(ve.Problem, prefix) {
		return err
	}
	return &VetError{Path: ve.Path, Problem: prefix + script + ": " + ve.Problem, Remedy: ve.Remedy}
}

// readHead returns the beginning of a file.
func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], err
}
