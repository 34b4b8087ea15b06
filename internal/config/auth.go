package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// passwordMax is the room RFC 2338 section 5.3.10 leaves for a password.
const passwordMax = 8

// auth reads the inline table of that name, and the password it leads to.
func (b *builder) auth(in *instance) {
	if !in.s.given("auth") {
		return
	}
	switch {
	case in.s.sure("version") && in.Version == 3:
		in.s.fail("auth", "version 3 has no authentication: RFC 5798 and RFC 9568 removed it", "remove it, or write version = 2 on all nodes")
	case in.Strict:
		in.s.fail("auth", "RFC 3768 removed authentication, and strict is set", "remove one of the two")
	}
	s := b.inner(in.s, authTable, "auth")
	file, inline := s.there("password_file"), s.there("password")
	switch {
	case file && inline:
		s.fail("password", "both password and password_file are given", "keep password_file")
	case file:
		in.PasswordFile = s.text("password_file")
		if s.given("password_file") {
			in.Password = b.passwordFile(s, in.PasswordFile)
		}
	case inline:
		in.Password = s.text("password")
		if s.given("password") {
			if what, instead := passwordFault(in.Password); what != "" {
				s.fail("password", what, instead)
			}
		}
		if b.mode&0o077 != 0 {
			s.warn("password", fmt.Sprintf("others than the owner may read this file (mode %04o)", b.mode.Perm()), "chmod it to 0600, or use password_file")
		}
	default:
		s.r.report(b.src.doc, s.node.value, s.shown, "there is no password", `write password_file = "/etc/vrrpd/pass"`, false)
	}
}

// passwordFile reads the password; "" if that cannot be done, which has been
// reported by then.
func (b *builder) passwordFile(s *section, path string) string {
	if !filepath.IsAbs(path) {
		s.fail("password_file", quoteShort(path)+" is not an absolute path", `write one, such as "/etc/vrrpd/pass"`)
		return ""
	}
	if b.env.ReadFile == nil {
		return ""
	}
	data, mode, err := b.env.ReadFile(path)
	if err != nil {
		s.fail("password_file", "it cannot be read: "+err.Error(), "write the password into that file")
		return ""
	}
	if mode&0o077 != 0 {
		s.warn("password_file", fmt.Sprintf("others than the owner may read %s (mode %04o)", path, mode.Perm()), "chmod it to 0600")
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if what, instead := passwordFault(password); what != "" {
		s.fail("password_file", strings.Replace(what, "the password", "the password in "+path, 1), instead)
		return ""
	}
	return password
}

func passwordFault(password string) (what, instead string) {
	switch n := len(password); {
	case n == 0:
		return "the password is empty", "write 1 to 8 bytes"
	case n > passwordMax:
		return fmt.Sprintf("the password has %d bytes, there is room for %d", n, passwordMax),
			"shorten it; keepalived silently uses the first 8 bytes, so those fit a keepalived peer"
	case strings.ContainsAny(password, "\x00\n"):
		return "the password contains a NUL or a line break", "write one line of 1 to 8 bytes"
	}
	return "", ""
}
