package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"vrrpd/healthcheck"
	"vrrpd/internal/build"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/internal/daemon"
	"vrrpd/internal/metrics"
	"vrrpd/internal/web"
)

// startingCollect is GOGC until the daemon is ready. A start makes more garbage
// than anything that follows, and collecting it as thoroughly takes a tenth of
// the start of thousands of instances.
const startingCollect = 200

// leastProcessors is one, of those among which the Go scheduler shares out the CPUs,
// for each who waits for the kernel now and then while the others must not: the loop,
// the keeper of addresses, the watcher of interfaces, and the loop's errands. Whoever
// waits there keeps his until the scheduler looks, which may be 10 ms later. See
// docs/decisions.md, 43.
const leastProcessors = 4

// spareProcessors sees to it that there are so many, unless the operator has set how
// many there are to be ($GOMAXPROCS).
func spareProcessors() {
	if _, set := os.LookupEnv("GOMAXPROCS"); !set && runtime.GOMAXPROCS(0) < leastProcessors {
		runtime.GOMAXPROCS(leastProcessors)
	}
}

// serve runs the daemon until it is told to stop.
func serve(file string, stderr io.Writer) error {
	spareProcessors()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	// A reader that went away (vrrpctl, a log) is an error of that write, not
	// the end of the daemon. Taken, not ignored: what is ignored stays so in
	// the checks, and `yes | head` would never end there.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)

	if os.Getpid() == 1 { // the first process of a container: orphans are its own
		go healthcheck.Reap(context.Background())
	}

	collect := debug.SetGCPercent(startingCollect)
	env := config.HostEnv()
	starting := env
	starting.Parsers = runtime.NumCPU() // nothing else runs yet
	plan, problems := config.Load(file, starting)
	if plan == nil {
		return &configError{problems}
	}
	observed := metrics.New(build.Version)
	ready := make(chan struct{})
	d := daemon.New(daemon.Options{
		Plan: plan, Problems: problems, File: file, Env: env, Log: newLogger(plan, stderr), Version: build.Version,
		Exec:     healthcheck.NewSpawner(commandsName),
		Observer: daemon.Observer{Takeover: observed.Takeover, Lag: observed.Lag},
		Handler: func(d *daemon.Daemon) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET /{$}", web.Handler(d.Status))
			mux.Handle("GET /metrics", observed.Handler(d.Snapshot))
			mux.Handle("/api/", http.StripPrefix("/api", control.Handler(d, true)))
			return mux
		},
		Ready: func() { close(ready) },
	})
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	defer stopNow()
	defer hurryNow()
	go func() {
		select {
		case <-ready:
			notify(sd.SdNotifyReady)
			debug.SetGCPercent(collect)
			go watchdog(stop, d)
		case <-stop.Done():
		}
	}()
	hangups := make(chan struct{}, 1) // several at once are one
	go func() {
		for range hangups {
			reload(stop, ready, d)
		}
	}()
	go func() {
		for s := range signals {
			if s == unix.SIGHUP {
				select {
				case hangups <- struct{}{}:
				default: // a reload that has not begun will see the same file
				}
				continue
			}
			notify(sd.SdNotifyStopping)
			if stop.Err() != nil {
				hurryNow()
			}
			stopNow()
		}
	}()
	return d.Run(stop, hurry)
}

// reload is SIGHUP. The daemon itself says what came of it.
func reload(ctx context.Context, ready <-chan struct{}, d *daemon.Daemon) {
	select {
	case <-ready:
	case <-ctx.Done():
		return
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, now.Nano()/1000))
	}
	status := "STATUS=running"
	if _, err := d.Reload(ctx); err != nil {
		status = "STATUS=running with the configuration before the last reload, which failed: " + err.Error()
	}
	notify(sd.SdNotifyReady + "\n" + status)
}

// watchdog tells the service manager that the loop makes progress.
func watchdog(ctx context.Context, d *daemon.Daemon) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	t := time.NewTicker(interval / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if d.Alive(interval / 2) {
				notify(sd.SdNotifyWatchdog)
			}
		}
	}
}

// notifyPatience is how long the service manager may take to take a message:
// nothing of ours may depend on it.
const notifyPatience = 500 * time.Millisecond

// notify tells the service manager, if there is one (sd_notify(3)). One that
// does not listen, or whose socket is full, has nothing to be told.
func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyPatience)); err == nil {
		_, _ = io.WriteString(conn, state)
	}
}

// newLogger makes the log as the configuration has it; the journal adds the
// time itself.
func newLogger(plan *config.Plan, stderr io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "vrrpd", Output: stderr, Level: hclog.Info, JSONFormat: plan.Log.Format == "json",
		DisableTime: os.Getenv("JOURNAL_STREAM") != ""})
}
