// Package integration tests the whole system: the built programs in clusters
// of network namespaces, next to keepalived and FRR, and on real bonds in a
// guest kernel. What a test needs is named in docs/testing.md.
package integration
