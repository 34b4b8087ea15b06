package convert

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"vrrpd/internal/config"
)

// A check is what a script, file or process became.
type check struct {
	name    string // of vrrpd's table
	weight  int
	reverse bool
	number  bool   // the weight is in the file
	order   int    // of the block
	broken  bool   // it is no table; why was told
	link    string // the interface, of track_interface; it has a name when it has a table
}

// script converts vrrp_script.
func (c *converter) script(s *statement) {
	key, ok := c.named(s, "script")
	if !ok {
		return
	}
	v := c.values(key, s, "script", "interval", "timeout", "weight", "rise", "fall", "user")
	ck := c.check("script", s, v)
	t := &c.tables.checks
	command := v.last["script"]
	if command == nil {
		c.refuse(s.place, key+".script", "there is no script, and keepalived does not track it", "write one, or remove the block and what tracks it")
		ck.broken = true
		return
	}
	words, rest := command.command()
	if len(rest) > 0 {
		c.refuse(command.place, key+".script", "keepalived leaves out what follows "+strings.Join(words, " "), "put the command and its arguments between quotes")
	}
	t.header(s.place, "check", ck.name)
	if name := killall(words); name != "" {
		t.key(command.place, "process", config.TOMLString(name))
		c.warn(command.place, key+".script", "it becomes process = "+config.TOMLString(name)+", which needs no command and notices the end at once", "")
	} else if words = c.program(command, words, key+".script"); words != nil {
		t.key(command.place, "command", texts(words))
		c.user(t, v)
	}
	t.checkTimes(v)
	ck.write(t, v)
}

// check notes a check under its name and gives it one of vrrpd's.
func (c *converter) check(kind string, s *statement, v *values) *check {
	ck := &check{name: c.name("check", s.arg(), s.place), order: c.order}
	c.checks[kind+" "+s.arg()] = ck
	ck.weight, ck.reverse = v.weight(v.last["weight"], 0)
	return ck
}

// named reports whether a block has a name, and one that none had before.
func (c *converter) named(s *statement, kind string) (key string, ok bool) {
	key = s.word() + "." + s.arg()
	if s.arg() == "" {
		c.refuse(s.place, s.word(), "the block has no name", "write one before the {")
		return key, false
	}
	if kind != "" && c.checks[kind+" "+s.arg()] != nil {
		c.refuse(s.place, key, "the name is given twice", "keep one of the two")
		return key, false
	}
	return key, true
}

// weight reads `weight N [reverse]`.
func (v *values) weight(s *statement, def int) (weight int, reverse bool) {
	if s == nil {
		return def, false
	}
	return v.c.weightOf(s.words[1:], s.place, v.key+".weight")
}

func (c *converter) weightOf(words []string, at place, key string) (weight int, reverse bool) {
	if len(words) > 0 {
		n, err := strconv.Atoi(words[0])
		if err == nil && n >= -253 && n <= 253 {
			return n, len(words) > 1 && words[1] == "reverse"
		}
		c.refuse(at, key, "it is "+words[0], "write a whole number from -253 to 253")
		return 0, false
	}
	c.refuse(at, key, "there is no number", "write one from -253 to 253")
	return 0, false
}

// write writes the weight of a check.
func (ck *check) write(t *lines, v *values) {
	if ck.weight != 0 && !ck.number {
		t.key(v.at("weight"), "weight", strconv.Itoa(ck.weight))
	}
}

// checkTimes writes when a check runs and what makes its verdict.
func (l *lines) checkTimes(v *values) {
	if v.has("interval") {
		l.key(v.at("interval"), "interval", config.TOMLDuration(v.seconds("interval", time.Second)))
	}
	if v.has("timeout") {
		l.key(v.at("timeout"), "timeout", config.TOMLDuration(v.seconds("timeout", time.Second)))
	}
	for _, word := range []string{"rise", "fall"} {
		if v.has(word) {
			l.key(v.at(word), word, strconv.Itoa(v.number(word, 1, 1, 1000)))
		}
	}
}

// program is a command with the absolute path of its program, which is looked
// for as keepalived does; nil if there is none.
func (c *converter) program(s *statement, words []string, key string) []string {
	if len(words) == 0 {
		c.refuse(s.place, key, "there is no command", "write one, or remove it")
		return nil
	}
	if path.IsAbs(words[0]) {
		return words
	}
	found, err := c.env.LookPath(words[0])
	if strings.ContainsAny(words[0], "/<>|;&$`") || err != nil || !path.IsAbs(found) {
		c.refuse(s.place, key, words[0]+" is not the path of a program", "write its absolute path; for what needs a shell, that of a script")
		return nil
	}
	return append([]string{found}, words[1:]...)
}

// scriptUser is whom keepalived runs scripts as unless told otherwise, if there
// is such a user; else as root.
const scriptUser = "keepalived_script"

// user writes whom a script runs as: keepalived's default is another than
// vrrpd's.
func (c *converter) user(t *lines, v *values) {
	switch name := v.arg("user"); {
	case name != "":
		t.key(v.at("user"), "user", config.TOMLString(name))
		if len(v.last["user"].words) > 2 {
			c.warn(v.at("user"), v.key+".user", "the group is left out: checks run with all groups of their user", "")
		}
	case c.global.scriptUser != "":
		t.key(v.block.place, "user", config.TOMLString(c.global.scriptUser))
	case c.env.UserExists(scriptUser):
		t.key(v.block.place, "user", config.TOMLString(scriptUser))
	default:
		t.key(v.block.place, "user", config.TOMLString("root"))
		c.warnOnce("root", v.block.place, v.key, "scripts run as root, as with keepalived, for there is no user "+scriptUser, "remove user = \"root\" from those for which nobody will do")
	}
}

// killall is the name of the process that a command asks for with signal 0, as
// many do; "" if it does something else.
func killall(words []string) string {
	if len(words) == 3 && path.Base(words[0]) == "killall" && words[1] == "-0" && !strings.HasPrefix(words[2], "-") {
		return path.Base(words[2])
	}
	return ""
}

// trackFile converts track_file. The number in the file times the weight is
// what keepalived adds; here it is the number.
func (c *converter) trackFile(s *statement) {
	key, ok := c.named(s, "file")
	if !ok {
		return
	}
	v := c.values(key, s, "file", "weight")
	ck := c.check("file", s, v)
	ck.number = true
	if !v.has("weight") {
		ck.weight = 1
	}
	if ck.weight != 1 || ck.reverse {
		c.warn(v.at("weight"), key+".weight", "only the number in the file itself can be added, which is weight 1; nothing tracks the file", "write the number as it is to be added, or use a command")
		ck.broken = true
	}
	if v.arg("file") == "" {
		c.refuse(s.place, key+".file", "there is no file", "write its path")
		return
	}
	if ck.broken {
		return
	}
	c.tables.checks.header(s.place, "check", ck.name)
	c.tables.checks.key(v.at("file"), "file", "{ path = "+config.TOMLString(v.arg("file"))+`, test = "number" }`)
	c.warnOnce("track_file", s.place, key, "a number of -254 or less is not a fault here, and 253 is the most", "")
}

// trackProcess converts vrrp_track_process.
func (c *converter) trackProcess(s *statement) {
	key, ok := c.named(s, "process")
	if !ok {
		return
	}
	v := c.values(key, s, "process", "weight", "quorum", "full_command", "param_match")
	ck := c.check("process", s, v)
	p := v.last["process"]
	if p == nil || p.arg() == "" {
		c.refuse(s.place, key+".process", "there is no process", "write its name")
		ck.broken = true
		return
	}
	t := &c.tables.checks
	t.header(s.place, "check", ck.name)
	what := "name = " + config.TOMLString(path.Base(p.arg()))
	if match := v.last["param_match"]; match != nil || len(p.words) > 2 {
		expr := "(^|/)" + regexp.QuoteMeta(strings.Join(p.words[1:], " "))
		switch {
		case match == nil || match.arg() == "":
			expr += "$"
		case match.arg() == "initial":
			expr += "( |$)"
		}
		what = "command_line = " + config.TOMLString(expr)
	} else if v.flag("full_command", false) {
		what = "command_line = " + config.TOMLString("^"+regexp.QuoteMeta(p.arg())+"( |$)")
	}
	if n := v.number("quorum", 1, 1, 65_535); n > 1 {
		what += fmt.Sprintf(", min = %d", n)
	}
	t.key(p.place, "process", "{ "+what+" }")
	ck.write(t, v)
}

func (c *converter) warnOnce(which string, at place, key, what, instead string) {
	if !c.once[which] {
		c.once[which] = true
		c.warn(at, key, what, instead)
	}
}

// texts is an array of TOML strings.
func texts(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = config.TOMLString(s)
	}
	return config.TOMLArray(out)
}
