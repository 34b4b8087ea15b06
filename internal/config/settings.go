package config

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// socketMax is the longest path that fits struct sockaddr_un (unix(7)).
const socketMax = 107

// single takes over the tables there is one of.
func (b *builder) single(t *table, s *section) {
	switch t {
	case nodeTable:
		b.node(s)
	case logTable:
		b.plan.Log = Log{Level: s.text("level"), Format: s.text("format")}
	case controlTable:
		b.control(s)
	case httpTable:
		b.http(s)
	}
}

func (b *builder) node(s *section) {
	b.plan.Node, b.plan.Realtime = s.text("name"), s.text("realtime")
	if !s.there("name") && b.env.Hostname != nil {
		name, err := b.env.Hostname()
		if err != nil {
			s.fail("name", "the host name cannot be found out: "+err.Error(), `write name = "…"`)
		}
		b.plan.Node = name
	}
	if s.given("name") && !printable(b.plan.Node, 255) {
		s.fail("name", quoteShort(b.plan.Node)+" will not do as a name", "use 1 to 255 printable characters")
	}
}

// printable reports whether a text can stand in a log line or a metric.
func printable(text string, limit int) bool {
	return text != "" && len(text) <= limit && utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func (b *builder) control(s *section) {
	b.plan.Control = Control{Socket: s.text("socket"), Group: s.text("group")}
	socket := b.plan.Control.Socket
	switch {
	case !s.given("socket"):
	case !filepath.IsAbs(socket):
		s.fail("socket", quoteShort(socket)+" is not an absolute path", `write one, such as "/run/vrrpd/vrrpd.sock"`)
	case len(socket) > socketMax:
		s.fail("socket", "the path has "+strconv.Itoa(len(socket))+" bytes", "choose one of at most "+strconv.Itoa(socketMax))
	case strings.HasSuffix(socket, "/"):
		s.fail("socket", "the path ends with /", "name the socket, not its directory")
	}
	if group := b.plan.Control.Group; s.given("group") && group != "" && (!printable(group, 255) || strings.ContainsAny(group, " :/,")) {
		s.fail("group", quoteShort(group)+" cannot be the name of a group", `write a group of this host, or ""`)
	}
}

func (b *builder) http(s *section) {
	listen := s.text("listen")
	if !s.given("listen") || listen == "off" || listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(listen)
	number, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		instead := `write "HOST:PORT", such as "127.0.0.1:9112"`
		if _, err := strconv.ParseUint(listen, 10, 16); err == nil {
			instead = `write "127.0.0.1:` + listen + `"`
		}
		s.fail("listen", quoteShort(listen)+" is not an address with a port", instead)
	case portErr != nil || number == 0:
		s.fail("listen", quoteShort(port)+" is not a port", "write a number from 1 to 65535")
	case host != "" && (!printable(host, 253) || strings.ContainsAny(host, " /,\"'")):
		s.fail("listen", quoteShort(host)+" is not a host", `write an IP address or a host name, such as "127.0.0.1:`+port+`"`)
	default:
		b.plan.HTTP.Listen = listen
	}
}
