package main

import (
	"context"
	"io"
	"os/signal"

	"golang.org/x/sys/unix"

	"vrrpd/internal/build"
	"vrrpd/internal/config"
	"vrrpd/internal/daemon"
)

// release hands over in place of a daemon that ended without a word. A signal
// ends it early.
func release(file string, stderr io.Writer) error {
	hurry, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	log := newLogger(file, stderr)
	return daemon.New(daemon.Options{File: file, Env: config.HostEnv(), Log: log, Version: build.Version}).Release(hurry)
}
