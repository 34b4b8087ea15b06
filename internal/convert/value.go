package convert

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A block of statements, by keyword.
type values struct {
	c     *converter
	key   string // of the block, as in vrrp_instance.VI_1
	block *statement
	last  map[string]*statement // repeated blocks are one; repeated trackers are read from the block
}

// lists are the blocks that keepalived puts together where they are repeated.
var lists = []string{"virtual_ipaddress", "virtual_ipaddress_excluded", "unicast_peer", "authentication"}

// wordsOf is how many words a keyword takes along with it, where that is not
// itself and a value; many: as many as there are.
const many = 1 << 30

var wordsOf = map[string]int{"weight": 3, "user": 3, "script_user": 3, "script": many, "process": many,
	"notify": many, "notify_master": many, "notify_backup": many, "notify_fault": many, "notify_stop": many, "nopreempt": many, "preempt": many}

// values sorts the statements of a block by keyword. Those that are not among
// the known ones are told or passed over, as keywords.go has it. Of a keyword
// that is repeated keepalived takes the first, the last, or all, so that only
// all is accepted.
func (c *converter) values(key string, s *statement, known ...string) *values {
	v := &values{c: c, key: key, block: s, last: map[string]*statement{}}
	for _, in := range s.block {
		word := alias(in.word())
		if !slices.Contains(known, word) {
			c.other(key+"."+in.word(), in)
			continue
		}
		if most := cmp.Or(wordsOf[word], 2); len(in.words) > most && !in.open {
			c.refuse(in.place, key+"."+word, "keepalived leaves out what follows "+strings.Join(in.words[:most], " "), "write each keyword on a line of its own")
		}
		before := v.last[word]
		switch {
		case before == nil, slices.Contains(trackers, word), before.raw == in.raw && !in.open:
			v.last[word] = in
		case slices.Contains(lists, word):
			together := *before
			together.block = append(slices.Clip(before.block), in.block...)
			v.last[word] = &together
		default:
			c.refuse(in.place, key+"."+word, fmt.Sprintf("it is given twice, first on line %d", before.line), "keep one of the two")
		}
	}
	return v
}

// at is where a keyword stands, or the block if it is not there.
func (v *values) at(word string) place {
	if s := v.last[word]; s != nil {
		return s.place
	}
	return v.block.place
}

func (v *values) has(word string) bool { return v.last[word] != nil }

// arg is the word after a keyword. A keyword without one is told.
func (v *values) arg(word string) string {
	s := v.last[word]
	if s == nil {
		return ""
	}
	if s.arg() == "" {
		v.c.refuse(s.place, v.key+"."+word, "there is no value", "write one, or remove it")
	}
	return s.arg()
}

// flag reads on or off, which may be absent. An absent keyword is the default.
func (v *values) flag(word string, def bool) bool {
	s := v.last[word]
	if s == nil {
		return def
	}
	switch s.arg() {
	case "", "on", "true", "yes":
		return true
	case "off", "false", "no":
		return false
	}
	v.c.refuse(s.place, v.key+"."+word, "it is "+s.arg()+", and keepalived leaves it out", "write on or off")
	return def
}

// number reads a whole number within bounds. Where it is no such number
// keepalived puts another in its place, or vrrpd has narrower bounds.
func (v *values) number(word string, def, least, most int) int {
	text := v.arg(word)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		v.c.refuse(v.at(word), v.key+"."+word, "it is "+text+", which will not do", fmt.Sprintf("write a whole number from %d to %d", least, most))
		return def
	}
	return n
}

// seconds reads a time in seconds, with decimals.
func (v *values) seconds(word string, def time.Duration) time.Duration {
	text := v.arg(word)
	if text == "" {
		return def
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 86400) { // not a number is neither
		v.c.refuse(v.at(word), v.key+"."+word, "it is "+text, "write a number of seconds")
		return def
	}
	return time.Duration(math.Round(f*1e6)) * time.Microsecond
}

// isAddress reports whether a word is an IP address, with or without the
// length of its prefix.
func isAddress(word string) (netip.Addr, bool) {
	text, _, _ := strings.Cut(word, "/")
	a, err := netip.ParseAddr(text)
	return a, err == nil
}
