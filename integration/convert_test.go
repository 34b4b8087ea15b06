package integration

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/internal/config"
	"vrrpd/internal/convert"
	"vrrpd/internal/lab"
)

// readByBoth is a configuration of which both have to read the same. It has
// what is easily read in another way: quotes and escapes, definitions,
// sequences, defaults, what keepalived does not heed.
const readByBoth = `
global_defs {
    router_id x         # a comment
    script_user root
    enable_script_security
}
$LAN=192.0.2
$LIST= \
    198.51.100.1 \
    198.51.100.2/24
$PRIO=77
@other $PRIO=78
@^other	$VRID=9
$INNER= \
    virtual_router_id 8 \
    @other priority 20 \
    @^other priority 30 \
    $LAST=250 \
    virtual_ipaddress { \
        ${LAN}.${LAST}/24 \
    }

vrrp_script plain { # one line would do
    script "/bin/true"
    weight 3
    rise 2
    fall 4
}
vrrp_script words {
    script "/bin/echo a\ b \"c d\" 'e  f' $HOME \# g \x41\102 h\nz"
    interval 5
}

vrrp_sync_group both {
    group { defaults
        unicast }
    track_script {
        words
    }
    global_tracking
}

vrrp_instance defaults {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress {
        ${LAN}.1/24
    }
    virtual_ipaddress { }
    virtual_ipaddress {
        ${LAN}.5/24
    }
    track_interface {
        eth0 weight 9
    }
    track_interface {
        lan1 weight -9
    }
    track_script {
        plain weight 30
    }
}
vrrp_instance owner
{
    state MASTER
    interface eth0
    virtual_router_id 2
    nopreempt
    garp_master_delay 3
    garp_master_repeat 7
    garp_master_refresh 60
    virtual_ipaddress {
        ${LAN}.2/24 brd + dev eth0
    }
}
vrrp_instance sequences {
    interface eth0
    version 3
    virtual_router_id $VRID
    priority $PRIO
    advert_int 0.25
    preempt
    nopreempt
    virtual_ipaddress {
        ~SEQ(N,3) 192.0.2.1${N}/24
        ~SEQ(N,9,7) 192.0.3.${N}/24
        ~SEQ(N,1,2,6) 192.0.4.${N}
        ~LST(M,20,30) ~SEQ(N,2) 10.0.${M}.${N}
        $LIST
    }
    virtual_ipaddress_excluded {
        203.0.113.1/32
        2001:db8::1/64
    }
    track_script {
        plain
    }
}
vrrp_instance ipv6 {
    interface eth0
    virtual_router_id 2
    priority 200
    nopreempt
    preempt
    preempt_delay 3
    virtual_ipaddress { fe80::51/64 }
}
vrrp_instance unicast {
    interface eth0
    virtual_router_id 4
    advert_int 3
    authentication {
        auth_type PASS
    }
    authentication {
        auth_pass "se#cret"
    }
    unicast_peer {
        192.0.2.7
    }
    unicast_peer {
        192.0.2.8
    }
    virtual_ipaddress {
        192.0.2.40/32 label eth0:40
    }
}
vrrp_instance inner {
    interface eth0
    $INNER
}
`

// A reading is what is made of a vrrp_instance.
type reading struct {
	Version, VRID, Priority          int
	Interval, Delay                  time.Duration
	Preempt                          bool
	Burst                            int
	Again, Refresh                   time.Duration
	Addresses, Extra, Peers, Tracked []string
	Password                         string
}

// A scriptReading is what is made of a vrrp_script.
type scriptReading struct {
	Command    []string
	Interval   time.Duration
	Weight     int
	Rise, Fall int
}

// TestConvertReadsAsKeepalived has keepalived say what it has read of a file,
// and compares that with what the conversion makes of it.
func TestConvertReadsAsKeepalived(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a := l.Switch("lan").Host("a", "192.0.2.99/24", "2001:db8::99/64")
	a.Run("ip", "link", "add", "lan1", "type", "veth", "peer", "name", "lan2")
	k := a.KeepalivedConf(readByBoth, "-d")
	k.WaitOutput("VRRP Scripts", 10*time.Second)
	k.WaitOutput("------< Interfaces", 10*time.Second)
	instances, scripts := readings(t, k.Output())

	env := convert.HostEnv()
	env.ID = "none"
	r := convert.File(l.WriteFile("k.conf", readByBoth), env)
	plan, problems := config.Parse("", []byte(r.TOML), config.Env{})
	if plan == nil {
		t.Fatal(r.Problems, problems)
	}
	ours, ourScripts := map[string]reading{}, map[string]scriptReading{}
	for _, in := range plan.Instances {
		read := reading{Version: in.Version, VRID: int(in.VRID), Priority: int(in.Priority), Interval: in.AdvertInterval,
			Delay: in.PreemptDelay, Preempt: in.Preempt, Password: in.Password,
			Burst: in.Announce.Burst, Again: in.Announce.Again, Refresh: in.Announce.Refresh}
		for _, p := range in.Addresses {
			read.Addresses = append(read.Addresses, p.Prefix.String())
		}
		for _, p := range in.Extra {
			read.Extra = append(read.Extra, p.Prefix.String())
		}
		if in.Unicast != nil {
			for _, p := range in.Unicast.Peers {
				read.Peers = append(read.Peers, p.String())
			}
		}
		for _, tr := range in.Track {
			read.Tracked = append(read.Tracked, fmt.Sprintf("%s weight %d", tr.Check, tr.Weight))
		}
		slices.Sort(read.Tracked)
		ours[in.Name] = read
	}
	for _, c := range plan.Checks {
		if c.Command != nil {
			ourScripts[c.Name] = scriptReading{append([]string{path.Base(c.Command[0])}, c.Command[1:]...), c.Interval, c.Weight, c.Rise, c.Fall}
		}
	}
	if d := cmp.Diff(instances, ours); d != "" {
		t.Errorf("instances (-keepalived +ours):\n%s", d)
	}
	if d := cmp.Diff(scripts, ourScripts); d != "" {
		t.Errorf("scripts (-keepalived +ours):\n%s", d)
	}
	if len(ours) != 6 || len(scripts) != 2 {
		t.Errorf("%d instances and %d scripts were compared", len(ours), len(scripts))
	}
}

var (
	dumped   = regexp.MustCompile(`^\S+ \S+ +\d+ [0-9:]+ \d+: (.*)$`)
	argument = regexp.MustCompile(`'([^']*)'`)
)

// readings reads the dump that keepalived makes of its configuration.
func readings(t *testing.T, dump string) (map[string]reading, map[string]scriptReading) {
	t.Helper()
	instances, scripts, groups := map[string]reading{}, map[string]scriptReading{}, map[string]reading{}
	members := map[string][]string{}
	kind, name, list := "", "", ""
	for text := range strings.SplitSeq(dump, "\n") {
		m := dumped.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		word := strings.TrimSpace(m[1])
		if key, value, ok := strings.Cut(word, " = "); ok {
			list = ""
			switch key {
			case "VRRP Instance", "VRRP Script":
				kind, name = key, value
			case "VRRP Sync Group":
				kind, name = key, strings.TrimSuffix(value, ", "+lastWord(value))
			}
			switch kind {
			case "VRRP Instance":
				in := instances[name]
				in.read(t, key, value)
				instances[name] = in
			case "VRRP Script":
				sc := scripts[name]
				sc.read(t, key, value)
				scripts[name] = sc
			}
			continue
		}
		if title, ok := strings.CutSuffix(word, ":"); ok {
			list, _, _ = strings.Cut(strings.TrimSpace(title), " (")
			continue
		}
		if list == "" || !strings.HasPrefix(m[1], "     ") {
			list = ""
			continue
		}
		switch kind {
		case "VRRP Instance":
			in := instances[name]
			in.add(list, word)
			instances[name] = in
		case "VRRP Sync Group":
			if g := groups[name]; list == "VRRP member instances" {
				members[name] = append(members[name], word)
			} else {
				g.add(list, word)
				groups[name] = g
			}
		}
	}
	for g, names := range members { // what a group tracks counts for each member
		for _, name := range names {
			in := instances[name]
			in.Tracked = append(in.Tracked, groups[g].Tracked...)
			instances[name] = in
		}
	}
	for name, in := range instances {
		slices.Sort(in.Tracked)
		instances[name] = in
	}
	return instances, scripts
}

func lastWord(text string) string { return text[strings.LastIndexByte(text, ' ')+1:] }

// number is the number that a value begins with.
func number(t *testing.T, value string) int {
	t.Helper()
	first, _, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(first)
	must(t, err)
	return n
}

// span is a value with its unit.
func span(t *testing.T, value string) time.Duration {
	t.Helper()
	unit := time.Second
	if strings.HasSuffix(value, "milli-sec") {
		unit = time.Millisecond
	}
	return time.Duration(number(t, value)) * unit
}

func (in *reading) read(t *testing.T, key, value string) {
	t.Helper()
	switch key {
	case "VRRP Version":
		in.Version = number(t, value)
	case "Virtual Router ID":
		in.VRID = number(t, value)
	case "Priority":
		in.Priority = number(t, value)
	case "Advert interval":
		in.Interval = span(t, value)
	case "Preempt":
		in.Preempt = value == "enabled"
	case "Preempt delay":
		in.Delay = span(t, value)
	case "Password":
		in.Password = value
	case "Gratuitous ARP delay":
		in.Again = span(t, value)
	case "Gratuitous ARP repeat":
		in.Burst = number(t, value)
	case "Gratuitous ARP refresh":
		in.Refresh = span(t, value)
	}
}

func (in *reading) add(list, word string) {
	first, _, _ := strings.Cut(word, " ")
	switch list {
	case "Virtual IP":
		in.Addresses = append(in.Addresses, withLength(first))
	case "Virtual IP Excluded":
		in.Extra = append(in.Extra, withLength(first))
	case "Unicast Peer":
		in.Peers = append(in.Peers, first)
	case "Tracked scripts", "Tracked interfaces":
		in.Tracked = append(in.Tracked, word)
	}
}

func (sc *scriptReading) read(t *testing.T, key, value string) {
	t.Helper()
	switch key {
	case "Command":
		for _, a := range argument.FindAllStringSubmatch(value, -1) {
			sc.Command = append(sc.Command, a[1])
		}
		sc.Command[0] = path.Base(sc.Command[0])
	case "Interval":
		sc.Interval = span(t, value)
	case "Weight":
		sc.Weight = number(t, value)
	case "Rise":
		sc.Rise = number(t, value)
	case "Fall":
		sc.Fall = number(t, value)
	}
}

// withLength adds the length of the prefix that keepalived leaves out.
func withLength(address string) string {
	switch {
	case strings.Contains(address, "/"):
		return address
	case strings.Contains(address, ":"):
		return address + "/128"
	}
	return address + "/32"
}
