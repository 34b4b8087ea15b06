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
	spareProcessors()
	hurry, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	env := config.HostEnv()
	plan, problems := config.Load(file, env)
	if plan == nil {
		return &configError{problems}
	}
	return daemon.New(daemon.Options{Plan: plan, Problems: problems, File: file, Env: env, Log: newLogger(plan, stderr), Version: build.Version}).Release(hurry)
}
