// Package netif watches the host's network interfaces through rtnetlink:
// whether they exist, are up with a carrier, and which addresses a virtual
// router may send from. It survives lost messages by reading everything again.
package netif
