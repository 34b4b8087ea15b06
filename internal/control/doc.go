// Package control is the operator's side of the daemon: an HTTP and JSON API
// on a unix socket, its types, its server and its client.
//
// The daemon implements [Backend] and serves it:
//
//	l, warnings, err := control.Listen("/run/vrrpd/vrrpd.sock", "vrrpd")
//	s := control.NewServer(backend, nil)
//	go s.Serve(l)
//	…
//	s.Shutdown(ctx) // ends followers too
//
// and, read-only, on its TCP listener:
//
//	api := control.Handler(backend, true) // serves /v1/…
//	mux.Handle("/api/", http.StripPrefix("/api", api))
//	web.RegisterOnShutdown(api.Close) // web is the http.Server
//
// A tool talks to it:
//
//	c := control.NewClient("/run/vrrpd/vrrpd.sock")
//	s, err := c.Status(ctx, "")
//	if errors.Is(err, control.ErrNoDaemon) { … }
//
// # The API
//
//	GET  /v1/status[?instance=NAME]   Status
//	GET  /v1/explain?instance=NAME    Explanation
//	GET  /v1/events[?since=RFC3339]   []Event, oldest first
//	GET  /v1/events/follow            Event, one JSON object a line, until either side ends it
//	GET  /v1/config                   the running configuration, TOML
//	GET  /v1/bonds[?name=NAME]        []BondDetail
//	GET  /v1/bonds/doctor[?name=NAME] Diagnosis; on the socket only
//	POST /v1/demote                   DemoteRequest -> Outcome
//	POST /v1/promote                  Names -> Outcome
//	POST /v1/announce                 Names -> Outcome
//	POST /v1/reload                   -> Outcome
//	POST /v1/checks/run               CheckRunRequest -> CheckRun
//	POST /v1/drill                    DrillRequest -> DrillMessage, one JSON object a line, the report last
//
// An answer that is not 2xx carries a [Failure].
//
// # Who may do what
//
// Reading is for whoever can open the socket. Changing state (POST) is for
// root, the daemon's own user and the members of one group. The kernel tells
// who is there (SO_PEERCRED and SO_PEERGROUPS, unix(7)), as of connect(2):
// somebody added to the group has to log in again.
//
// Because anybody may connect, nobody but those who may change state can use
// up the daemon's descriptors: connections are limited per user and in total.
package control
