package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"vrrpd/healthcheck"
)

// HostEnv is the Env of the host this process runs on. It leaves out
// InterfaceExists; who wants to be warned sets it to [InterfaceExists].
func HostEnv() Env {
	return Env{
		Hostname:    os.Hostname,
		DefaultUser: healthcheck.DefaultUser,
		LookupUser:  healthcheck.LookupUser,
		Vet:         healthcheck.Vet,
		ReadFile:    readFile,
	}
}

// InterfaceExists reports whether the host has a network interface.
func InterfaceExists(name string) bool {
	_, err := os.Stat("/sys/class/net/" + name)
	return !errors.Is(err, fs.ErrNotExist)
}

// readFile reads a file of bounded size. Of what is no regular file it takes
// only an open descriptor, as a shell hands it over for <(…): reading a named
// pipe or a device could block for ever.
func readFile(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() && path != "/dev/stdin" && !strings.HasPrefix(path, "/dev/fd/") && !strings.HasPrefix(path, "/proc/self/fd/") {
		return nil, 0, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, 0, err
	}
	if len(data) > maxFile {
		return nil, 0, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return data, info.Mode(), nil
}
