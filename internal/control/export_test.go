package control

import "time"

// SetWriteTimeout shortens what a client has to take one write.
func SetWriteTimeout(a *API, d time.Duration) { a.writeTimeout = d }

// SetBodyTimeout shortens what a client has to send a body.
func SetBodyTimeout(s *Server, d time.Duration) { s.api.bodyTimeout = d }
