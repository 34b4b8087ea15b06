// Package convert turns a configuration of keepalived into one of vrrpd.
//
//	r := convert.File("/etc/keepalived/keepalived.conf", convert.HostEnv())
//	for _, p := range r.Problems {
//		fmt.Fprintln(os.Stderr, p) // FILE:LINE:COLUMN: key.path: what is wrong; what to do instead
//	}
//	os.Stdout.WriteString(r.TOML) // empty if one of the problems is an error
//
// It goes in three steps. The lines of all files are read, with include,
// @id, $VARIABLE and ~SEQ carried out (lines.go, define.go); they become a
// tree of statements (tree.go); each kind of block is converted by the file of
// its name. What comes out is read again by package config, so that it is
// valid; what that one finds is reported where it came from.
//
// Nothing is left out in silence. What has no counterpart is a warning, unless
// vrrpd does it anyway or it means nothing outside keepalived (keywords.go).
// What keepalived itself replaces by something else than was written is an
// error: the author has to say what was meant.
//
// How keepalived reads its file is described in keepalived.conf(5).
package convert
