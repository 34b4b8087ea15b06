// Command vrrpctl shows and steers the vrrpd daemon of this host, and checks
// its configuration files. docs/vrrpctl.md is its manual.
//
// It talks to the daemon over its control socket (internal/control) and
// decides nothing by itself. What it prints is made by pure functions from
// what the daemon answered and a given "now"; the manual's examples are their
// golden files.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(newApp(os.Stdout, os.Stderr, os.Getenv).run(ctx, os.Args[1:]))
}
