package convert

import "strings"

// notifiers are the keywords whose commands are told of changes of state, in
// the order in which keepalived starts them.
var notifiers = []string{"notify_master", "notify_backup", "notify_fault", "notify_stop", "notify"}

// notify writes the commands of an instance or group. vrrpd calls a command
// for all states; those of one state are chosen from by a shell.
func (c *converter) notify(v *values, name string) {
	t := &c.tables.notify
	write := func(at place, command string) {
		t.header(at, "notify", "")
		t.key(at, "command", command)
		t.key(at, "instances", texts([]string{name}))
		t.key(at, "keepalived_names", "true")
	}
	var cases []string
	var first place
	for _, word := range notifiers[:len(notifiers)-1] {
		s := v.last[word]
		if s == nil {
			continue
		}
		words := c.notified(s, v.key+"."+word)
		if words == nil {
			continue
		}
		if len(cases) == 0 {
			first = s.place
		}
		for i, w := range words {
			words[i] = shellQuote(w)
		}
		cases = append(cases, strings.ToUpper(strings.TrimPrefix(word, "notify_"))+") exec "+strings.Join(words, " ")+";;")
	}
	if len(cases) > 0 {
		script := `case "$3" in ` + strings.Join(cases, " ") + " esac"
		write(first, texts([]string{"/bin/sh", "-c", script, "notify"}))
	}
	if s := v.last["notify"]; s != nil {
		if words := c.notified(s, v.key+".notify"); words != nil {
			write(s.place, texts(words))
		}
	}
}

// notified is the command of a notification, nil if it is none. What follows
// it is a user.
func (c *converter) notified(s *statement, key string) []string {
	words, user := s.command()
	who := c.global.scriptUser
	switch {
	case len(user) > 0:
		who = user[0]
	case who == "" && c.env.UserExists(scriptUser):
		who = scriptUser
	}
	if who != "" && who != "root" {
		c.warnOnce("notify "+who, s.place, key, "it runs as vrrpd's own user, not as "+who, "use setpriv in the command, if it must be another")
	}
	return c.program(s, words, key)
}

// shellQuote is a word as the shell has to read it.
func shellQuote(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%") == "" && word != "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
