package control

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. There is no time limit on a whole request or answer:
// a demotion takes as long as the successor does, a follower stays, and a
// ReadTimeout would end both, as net/http takes a read deadline that passes
// behind a request for a client that left. Bodies and writes have their own
// (bodyTimeout, writeTimeout).
const (
	headerTimeout = 5 * time.Second  // to send a request's header
	idleTimeout   = 30 * time.Second // between two requests
	maxHeader     = 16 << 10         // bytes
)

// A Server serves a backend on the control socket.
type Server struct {
	api  *API
	http *http.Server
}

// NewServer serves b. What goes wrong with single connections is written to
// errorLog, nil being the log package's own.
func NewServer(b Backend, errorLog *log.Logger) *Server {
	api := Handler(b, false)
	return &Server{api: api, http: &http.Server{
		Handler:           api,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       connContext,
		ErrorLog:          errorLog,
	}}
}

// Serve answers on l until Shutdown, and then returns nil. Only connections of
// a [Listen] listener can change state: of any other the peer is unknown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting, removes the socket, ends the followers and waits
// for requests under way until ctx ends; then it cuts them off and returns the
// context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.api.Close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}
