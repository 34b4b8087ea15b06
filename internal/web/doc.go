// Package web serves the status page: one screen with what `vrrpctl status`
// shows, for a browser. It is read-only, and sees no more of the daemon than
// the public status.
//
//	mux.Handle("GET /{$}", web.Handler(d.Status))
//
// The page is complete HTML made on the server and renews itself every two
// seconds, by a script of a few lines or, where scripts are off, by reloading.
// It loads nothing from anywhere else: style and script stand in the page, and
// its Content-Security-Policy admits these two by their hashes and nothing
// more. What comes from outside the daemon, such as the output of checks, is
// escaped by html/template and cut to a line.
package web
