package integration

import (
	"path"
	"regexp"
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
@^other $VRID=9

vrrp_script plain { # one line would do
    script "/bin/true"
}
vrrp_script words {
    script "/bin/echo a\ b \"c d\" 'e  f' $HOME \# g"
    interval 5
}

vrrp_instance defaults {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress {
        ${LAN}.1/24
    }
}
vrrp_instance owner
{
    state MASTER
    interface eth0
    virtual_router_id 2
    nopreempt
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
        words weight 5
    }
}
vrrp_instance ipv6 {
    interface eth0
    virtual_router_id 2
    priority 200
    preempt_delay 3
    virtual_ipaddress { fe80::51/64 }
}
vrrp_instance unicast {
    interface eth0
    virtual_router_id 4
    priority 254
    advert_int 3
    authentication {
        auth_type PASS
        auth_pass secret
    }
    unicast_peer {
        192.0.2.7
        192.0.2.8
    }
    virtual_ipaddress {
        192.0.2.40/32 label eth0:40
    }
}
`

// A reading is what is made of a vrrp_instance.
type reading struct {
	Version, VRID, Priority int
	Interval                time.Duration
	Preempt                 bool
	Addresses, Extra, Peers []string
	Pass                    bool
}

// TestConvertReadsAsKeepalived has keepalived say what it has read of a file,
// and compares that with what the conversion makes of it.
func TestConvertReadsAsKeepalived(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a := l.Switch("lan").Host("a", "192.0.2.99/24", "2001:db8::99/64")
	k := a.KeepalivedConf(readByBoth, "-d")
	k.WaitOutput("VRRP Scripts", 10*time.Second)
	k.WaitOutput("------< Interfaces", 10*time.Second)
	instances, commands := readings(t, k.Output())

	env := convert.HostEnv()
	env.ID = "none"
	r := convert.File(l.WriteFile("k.conf", readByBoth), env)
	plan, problems := config.Parse("", []byte(r.TOML), config.Env{})
	if plan == nil {
		t.Fatal(r.Problems, problems)
	}
	ours, ourCommands := map[string]reading{}, map[string][]string{}
	for _, in := range plan.Instances {
		read := reading{Version: in.Version, VRID: int(in.VRID), Priority: int(in.Priority), Interval: in.AdvertInterval, Preempt: in.Preempt, Pass: in.Password != ""}
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
		ours[in.Name] = read
	}
	for _, c := range plan.Checks {
		ourCommands[c.Name] = append([]string{path.Base(c.Command[0])}, c.Command[1:]...)
	}
	if d := cmp.Diff(instances, ours); d != "" {
		t.Errorf("instances (-keepalived +ours):\n%s", d)
	}
	if d := cmp.Diff(commands, ourCommands); d != "" {
		t.Errorf("commands (-keepalived +ours):\n%s", d)
	}
	if len(ours) != 5 || len(commands) != 2 {
		t.Errorf("%d instances and %d scripts were compared", len(ours), len(commands))
	}
}

var (
	dumped   = regexp.MustCompile(`^\S+ \S+ +\d+ [0-9:]+ \d+: (.*)$`)
	setting  = regexp.MustCompile(`^ *(.+?) = (.*)$`)
	argument = regexp.MustCompile(`'([^']*)'`)
)

// readings reads the dump that keepalived makes of its configuration.
func readings(t *testing.T, dump string) (map[string]reading, map[string][]string) {
	t.Helper()
	instances, commands := map[string]reading{}, map[string][]string{}
	name, script, list := "", "", ""
	for text := range strings.SplitSeq(dump, "\n") {
		m := dumped.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		in := instances[name]
		if s := setting.FindStringSubmatch(m[1]); s != nil {
			list = ""
			number, _ := strconv.Atoi(s[2])
			switch s[1] {
			case "VRRP Instance":
				name, in = s[2], reading{}
			case "VRRP Script":
				script = s[2]
			case "VRRP Version":
				in.Version = number
			case "Virtual Router ID":
				in.VRID = number
			case "Priority":
				in.Priority = number
			case "Advert interval":
				value, unit, _ := strings.Cut(s[2], " ")
				n, err := strconv.Atoi(value)
				must(t, err)
				in.Interval = time.Duration(n) * map[string]time.Duration{"sec": time.Second, "milli-sec": time.Millisecond}[unit]
			case "Preempt":
				in.Preempt = s[2] == "enabled"
			case "Authentication type":
				in.Pass = s[2] == "SIMPLE_PASSWORD"
			case "Command":
				if script != "" {
					for _, a := range argument.FindAllStringSubmatch(s[2], -1) {
						commands[script] = append(commands[script], a[1])
					}
					commands[script][0] = path.Base(commands[script][0])
				}
			}
		} else if word := strings.TrimSpace(m[1]); strings.HasPrefix(word, "Virtual IP") || strings.HasPrefix(word, "Unicast Peer") {
			list, _, _ = strings.Cut(word, " (")
			list = strings.TrimSuffix(strings.TrimSuffix(list, ":"), " ")
		} else if fields := strings.Fields(word); list != "" && len(fields) > 0 && strings.HasPrefix(m[1], "     ") {
			switch list {
			case "Virtual IP":
				in.Addresses = append(in.Addresses, withLength(fields[0]))
			case "Virtual IP Excluded":
				in.Extra = append(in.Extra, withLength(fields[0]))
			case "Unicast Peer":
				in.Peers = append(in.Peers, fields[0])
			}
		} else {
			list = ""
		}
		if name != "" {
			instances[name] = in
		}
	}
	return instances, commands
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
