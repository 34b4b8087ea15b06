package main

import (
	"fmt"
	"net"
	"os"
)

// serviceVar has this program be the service of a node: it listens there and
// says a word to whoever connects.
const serviceVar = "VRRPD_DEMO_SERVICE"

// serve is the service; it ends when it is killed.
func serve(addr string) int {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Fprintln(conn, "hello")
		conn.Close()
	}
}
