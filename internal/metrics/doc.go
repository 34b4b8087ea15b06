// Package metrics shows the daemon to Prometheus. The names are part of the
// public surface and listed in docs/metrics.md.
package metrics
