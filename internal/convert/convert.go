package convert

import (
	"cmp"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"vrrpd/internal/config"
)

// Env is what a conversion depends on beyond its file.
type Env struct {
	ReadFile   func(path string) ([]byte, error)
	Glob       func(pattern string) ([]string, error)   // of include
	LookPath   func(name string) (path string, _ error) // of a command without a directory
	Getenv     func(name string) string                 // of ${_ENV NAME}
	Mode       func(path string) (fs.FileMode, error)   // of a file to include
	UserExists func(name string) bool                   // keepalived_script, whom keepalived runs scripts as
	ID         string                                   // of @ID lines: keepalived's -i, or the host name up to its first dot
}

// HostEnv is the Env of the host this process runs on.
func HostEnv() Env {
	host, err := os.Hostname()
	if err != nil {
		host = "" // no line is for a host without a name
	}
	short, _, _ := strings.Cut(host, ".")
	read := config.HostEnv().ReadFile // of bounded size, and never from a pipe nobody writes to
	return Env{
		ReadFile: func(path string) ([]byte, error) { data, _, err := read(path); return data, err },
		Glob:     filepath.Glob, LookPath: exec.LookPath, Getenv: os.Getenv,
		Mode: func(path string) (fs.FileMode, error) {
			info, err := os.Stat(path)
			if err != nil {
				return 0, err
			}
			return info.Mode(), nil
		},
		UserExists: func(name string) bool { _, err := user.Lookup(name); return err == nil },
		ID:         short,
	}
}

// A Result is what a conversion comes to.
type Result struct {
	TOML     string          // the configuration of vrrpd; empty if one of the problems is an error
	Problems config.Problems // in the order of the files and lines
}

// File converts a file and all it includes.
func File(path string, env Env) Result {
	c := &converter{
		reader: &reader{env: env, defs: map[string]string{}},
		global: globals{announce: defaultAnnounce},
		main:   path, names: map[string]map[string]int{}, checks: map[string]*check{},
		instances: map[string]*instance{}, groupOf: map[string]*group{}, once: map[string]bool{},
	}
	c.file(path, place{path, 1, 1})
	c.convert(c.tree())
	text := c.finish()
	c.sort()
	if len(c.problems.Errors()) > 0 {
		text = ""
	}
	return Result{TOML: text, Problems: c.problems}
}

// A converter is the state of one conversion.
type converter struct {
	*reader
	main   string // the file
	global globals
	checks map[string]*check // by kind and keepalived's name
	// names are those given to tables of vrrpd, by kind.
	names         map[string]map[string]int
	instances     map[string]*instance // by keepalived's name
	groupOf       map[string]*group    // by the name of a member
	once          map[string]bool      // what is told once
	groupsInOrder []*group
	order         int // of the block that is converted
	tables        struct{ head, checks, instances, groups, notify lines }
}

// warn reports what is not carried over, or means something else.
func (c *converter) warn(at place, key, what, instead string) {
	c.report(at, key, what, instead, true)
}

// refuse reports what nothing can be made of.
func (c *converter) refuse(at place, key, what, instead string) {
	c.report(at, key, what, instead, false)
}

// convert goes through the blocks: first what others refer to.
func (c *converter) convert(blocks []*statement) {
	kinds := []struct {
		words []string
		do    func(*statement)
	}{
		{[]string{"global_defs"}, c.globalDefs},
		{[]string{"vrrp_script"}, c.script},
		{[]string{"track_file", "vrrp_track_file"}, c.trackFile},
		{[]string{"vrrp_track_process"}, c.trackProcess},
		{[]string{"vrrp_sync_group"}, c.syncGroup},
		{[]string{"vrrp_instance"}, c.instance},
	}
	converted := map[string]bool{}
	for _, k := range kinds {
		for i, s := range blocks {
			if slices.Contains(k.words, s.word()) {
				converted[s.word()] = true
				c.order = i
				k.do(s)
			}
		}
	}
	for _, s := range blocks {
		if !converted[s.word()] {
			c.other(s.word(), s)
		}
	}
	c.groups()
	if len(c.instances) == 0 && len(c.problems.Errors()) == 0 {
		c.refuse(place0(c.main), "", "there is no vrrp_instance", "name a file that has one")
	}
}

func place0(file string) place { return place{file, 1, 1} }

// finish puts the tables together and has package config read them. What that
// one finds is reported where it was written.
func (c *converter) finish() string {
	var all lines
	all.add(place0(c.main), "# Converted from "+config.TOMLString(c.main)+" by vrrpctl config convert.")
	for _, t := range []*lines{&c.tables.head, &c.tables.checks, &c.tables.instances, &c.tables.groups, &c.tables.notify} {
		all.list = append(all.list, t.list...)
	}
	if len(c.problems.Errors()) > 0 {
		return "" // whatever is wrong with it besides follows from those
	}
	text := all.String()
	plan, problems := config.Parse("", []byte(text), config.Env{})
	for _, p := range problems {
		at := place0(c.main)
		if i := p.Line - 1; i < len(all.list) {
			at = all.list[i].place
		}
		c.report(at, p.Key, p.What, p.Instead, p.Warning)
	}
	if plan == nil && len(problems.Errors()) == 0 {
		c.refuse(place0(c.main), "", "the result cannot be read", "report this as a defect of vrrpctl")
	}
	return text
}

// sort orders the problems as the files were read, and drops repetitions.
func (c *converter) sort() {
	rank := map[string]int{c.main: 0}
	for _, l := range c.lines {
		if _, ok := rank[l.file]; !ok {
			rank[l.file] = len(rank)
		}
	}
	slices.SortStableFunc(c.problems, func(a, b config.Problem) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	c.problems = slices.Compact(c.problems)
}

// name makes a name for a table of vrrpd, and tells if it is not keepalived's.
func (c *converter) name(kind, name string, at place) string {
	taken := c.names[kind]
	if taken == nil {
		taken = map[string]int{}
		c.names[kind] = taken
	}
	base := strings.Map(func(r rune) rune {
		if strings.ContainsRune(config.NameCharacters, r) {
			return r
		}
		return '_'
	}, name)
	made := base[:min(len(base), config.NameMax)]
	for base = made; taken[made] > 0; {
		taken[base]++
		suffix := "_" + strconv.Itoa(taken[base])
		made = base[:min(len(base), config.NameMax-len(suffix))] + suffix
	}
	taken[made]++
	if made != name {
		c.warn(at, kind+"."+name, "the name becomes "+made, "")
	}
	return made
}

// lines are lines of the result, each with the place it comes from.
type lines struct{ list []line }

func (l *lines) add(at place, text string) {
	for t := range strings.SplitSeq(text, "\n") {
		l.list = append(l.list, line{at, t})
	}
}

// header begins a table.
func (l *lines) header(at place, kind, name string) {
	l.add(at, "")
	switch {
	case name != "":
		l.add(at, "["+kind+"."+config.TOMLKey(name)+"]")
	case kind == "notify":
		l.add(at, "[[notify]]")
	default:
		l.add(at, "["+kind+"]")
	}
}

func (l *lines) key(at place, name, literal string) { l.add(at, name+" = "+literal) }

func (l *lines) String() string {
	var b strings.Builder
	for _, t := range l.list {
		b.WriteString(t.text)
		b.WriteByte('\n')
	}
	return b.String()
}
