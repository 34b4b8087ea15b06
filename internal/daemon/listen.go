package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"vrrpd/internal/config"
	"vrrpd/internal/control"
)

// A listener is the control socket at work; nil: there is none.
type listener struct {
	server *control.Server
	done   chan struct{}
}

// listen opens the control socket. Without one the daemon still does its
// work, and says that nobody can talk to it.
func (d *Daemon) listen() *listener {
	c := d.plan.Control
	l, warnings, err := control.Listen(c.Socket, c.Group)
	for _, w := range warnings {
		d.say(levelWarn, kindWarning, w)
	}
	if err != nil {
		d.warn("vrrpctl cannot reach this daemon: " + err.Error())
		return nil
	}
	server := control.NewServer(d, d.log.Named("control").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}))
	out := &listener{server: server, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.warn("vrrpctl can no longer reach this daemon: " + err.Error())
		}
	}()
	return out
}

func (l *listener) close(ctx context.Context) {
	if l == nil {
		return
	}
	_ = l.server.Shutdown(ctx) // what is not over by then is cut off
	<-l.done
}

// A web is the listener of [http]. A reload may move it.
type web struct {
	log    hclog.Logger
	mu     sync.Mutex
	addr   string
	server *http.Server
}

func newWeb(log hclog.Logger) *web { return &web{log: log.Named("http")} }

// serve listens on addr, "" is nowhere. The old listener goes first, as the
// new one may be on the same port.
func (w *web) serve(addr string, handler http.Handler) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if addr == w.addr {
		return nil
	}
	w.shut()
	if addr == "" || handler == nil {
		return nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	w.addr = addr
	w.server = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: w.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug})}
	go w.server.Serve(l) // ends with the server's Close
	return nil
}

// shut ends the listener there is.
func (w *web) shut() {
	if w.server != nil {
		_ = w.server.Close()
		w.server, w.addr = nil, ""
	}
}

func (w *web) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut()
}

// serveHTTP brings the listener of [http] where the plan wants it.
func (d *Daemon) serveHTTP(plan *config.Plan) {
	var handler http.Handler
	if d.opts.Handler != nil {
		handler = d.opts.Handler(d)
	}
	if err := d.web.serve(plan.HTTP.Listen, handler); err != nil {
		d.say(levelError, kindWarning, "http.listen: "+err.Error()+"; a reload tries again")
	}
}
