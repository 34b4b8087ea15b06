// Package config turns a TOML file into a [Plan]: complete, validated, with
// every default filled in. It is the only place of the daemon that validates;
// whoever is handed a Plan may rely on it.
//
// All problems of a file are reported at once, each with its position:
//
//	plan, problems := config.Load("/etc/vrrpd.toml", config.HostEnv())
//	for _, p := range problems {
//		fmt.Fprintln(os.Stderr, p) // FILE:LINE:COLUMN: key.path: what is wrong; what to write instead
//	}
//	if plan == nil {
//		os.Exit(2) // at least one of the problems is an error
//	}
//
// The package github.com/BurntSushi/toml judges the syntax and yields the
// values; it does not say where a value stands, so scan.go indexes the
// positions of all keys and values beside it; it is given a large file in parts
// (parts.go). A mistake in the syntax does not hide the others: the statement is
// blanked, what it would have said counts as present, and reading goes on.
//
// Every key, with its type, default and limits, stands in one table (keys.go),
// which drives the reading, [Plan.TOML], and the reference in docs/.
//
// Limits come from RFC 9568 section 5.2 (VRID, priority, Max Advertise
// Interval), section 5.2.9 (the first IPv6 address is link-local), RFC 3768
// section 5.3.7 (whole seconds in version 2) and RFC 2338 section 5.3.10
// (eight bytes of authentication data).
package config
