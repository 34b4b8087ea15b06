// Package build says which build of vrrpd this is.
//
//	go build -ldflags "-X vrrpd/internal/build.Version=1.2.3" ./cmd/...
package build

// Version is the version both programs report. A release overrides it at link
// time.
var Version = "0.1.0"
