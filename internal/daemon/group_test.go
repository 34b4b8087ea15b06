package daemon

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

const (
	aCheck = `
[check.nginx]
command = ["/bin/true"]
`
	aGroup = `
[group.site]
instances = ["web", "db"]
`
)

// ran has a check report a verdict, as its second run does.
func (s *script) ran(name string, v healthcheck.Verdict) {
	s.t.Helper()
	c := s.e.checks[name]
	if c == nil {
		s.t.Fatalf("there is no check %s", name)
	}
	s.ranAs(c.cfg, v, c.result.Verdict != v)
}

func (s *script) ranAs(cfg config.Check, v healthcheck.Verdict, changed bool) {
	s.do(func() {
		s.e.checkRan(s.now, cfg, healthcheck.Result{Check: cfg.Name, Verdict: v, Passed: v == healthcheck.Passing, Changed: changed,
			Detail: "exit status 2", Output: "no answer\nat all", Summary: "no answer"})
	})
}

// A fault of one member is a fault of the group, and says whose.
func TestGroupFollowsAMembersCheck(t *testing.T) {
	s := started(t, twoInstances+"track = [\"nginx\"]\n"+aCheck+aGroup)
	s.forget()

	// Before the first verdict the check holds the whole group back.
	s.fire() // both
	s.state("web", vrrp.Backup)
	s.state("db", vrrp.Backup)
	if got := strings.Join(s.e.why(s.inst("web")), "\n"); !strings.Contains(got, "its group site waits for: db") {
		t.Error(got)
	}
	s.forget()

	s.ran("nginx", healthcheck.Passing)
	s.got(`
		eth0#2: vrid 51 advertises 100
		eth0#2: vrid 52 advertises 100
		hold web 192.0.2.100/24
		hold db 192.0.2.101/24
		check: check nginx is passing
		web: backup -> active (timeout)
		db: backup -> active (timeout)
		site: backup -> active ()`)

	s.ran("nginx", healthcheck.Failing)
	s.got(`
		eth0#2: vrid 52 advertises 0
		eth0#2: vrid 51 advertises 0
		drop db 192.0.2.101/24
		drop web 192.0.2.100/24
		check: check nginx is failing: exit status 2: no answer
		db: active -> fault (fault)
		web: active -> fault (fault)
		site: active -> fault ()`)
	if got := s.inst("web").cause; got != "group: db: check nginx is failing" {
		t.Errorf("cause: %s", got)
	}

	s.ran("nginx", healthcheck.Passing)
	s.got(`
		check: check nginx is passing
		db: fault -> backup (fault_cleared)
		web: fault -> backup (fault_cleared)
		site: fault -> backup ()`)
	s.activate("web", "db")
}

// A check of weight 0 is a fault of the member that tracks it so, also where the
// first member has another weight for it.
func TestGroupKeepsAMembersFault(t *testing.T) {
	s := started(t, oneInstance+"track = [{check=\"nginx\",weight=20}]\n"+strings.TrimPrefix(twoInstances, oneInstance)+"track = [\"nginx\"]\n"+aCheck+aGroup)
	s.ran("nginx", healthcheck.Failing)
	if got := s.inst("db").router.Faults(); !slices.Equal(got, []string{"check nginx is failing"}) {
		t.Errorf("faults of db: %q", got)
	}
	s.state("web", vrrp.Fault)
	s.state("db", vrrp.Fault)
	s.ran("nginx", healthcheck.Passing)
	s.state("db", vrrp.Backup)
	s.priority("web", 120)
	s.priority("db", 120)
}

// A warning of a check that means fault counts for all members, too.
func TestGroupSharesWarnings(t *testing.T) {
	for _, track := range []string{"track = [\"load\"]\n[instance.db]", "[instance.db]\ntrack = [\"load\"]", "track = [\"load\"]\n[instance.db]\ntrack = [\"load\"]"} {
		s := started(t, strings.Replace(twoInstances, "[instance.db]", track, 1)+strings.Replace(nagiosCheck, "weight = -20\n", "", 1)+aGroup)
		s.result(healthcheck.Result{Check: "load", Verdict: healthcheck.Passing, Warning: true})
		s.priority("web", 95)
		s.priority("db", 95)
	}
}

// Members agree in priority: a weighted check of one counts for all, once, as
// the first that tracks it has it.
func TestGroupSharesWeights(t *testing.T) {
	priorities := func(s *script) [2]uint8 {
		return [2]uint8{s.inst("web").router.Priority(), s.inst("db").router.Priority()}
	}
	for name, c := range map[string]struct {
		web, db string
		verdict healthcheck.Verdict
		want    [2]uint8
	}{
		"tracked by one":           {"", `[{check="nginx",weight=-20}]`, healthcheck.Failing, [2]uint8{80, 80}},
		"tracked by both":          {`[{check="nginx",weight=-20}]`, `[{check="nginx",weight=-30}]`, healthcheck.Failing, [2]uint8{80, 80}},
		"fault first, then weight": {`["nginx"]`, `[{check="nginx",weight=20}]`, healthcheck.Passing, [2]uint8{100, 100}},
		"weight first, then fault": {`[{check="nginx",weight=20}]`, `["nginx"]`, healthcheck.Passing, [2]uint8{120, 120}},
	} {
		t.Run(name, func(t *testing.T) {
			toml := oneInstance
			if c.web != "" {
				toml += "track = " + c.web + "\n"
			}
			s := started(t, toml+strings.TrimPrefix(twoInstances, oneInstance)+"track = "+c.db+"\n"+aCheck+aGroup)
			s.ran("nginx", c.verdict)
			if got := priorities(s); got != c.want {
				t.Errorf("priorities %d, want %d", got, c.want)
			}
		})
	}
}

// A peer that takes one member takes the group.
func TestGroupYieldsTogether(t *testing.T) {
	s := started(t, twoInstances+aGroup)
	s.activate("web", "db")
	s.hear(advert{from: peer, vrid: 52, priority: 200, vips: addrs("192.0.2.101")})
	s.got(`
		eth0#2: vrid 52 advertises 100
		eth0#2: vrid 51 advertises 0
		drop db 192.0.2.101/24
		drop web 192.0.2.100/24
		db: active -> backup (higher_priority)
		web: active -> backup (group)
		site: active -> backup ()`)
}

// A group that a reload adds or removes leaves the members in their states.
func TestGroupAddedAndRemoved(t *testing.T) {
	s := started(t, twoInstances)
	s.activate("web", "db")
	web := s.inst("web").deadline
	s.reload(twoInstances + aGroup)
	s.got("saved")
	s.state("web", vrrp.Active)
	if s.inst("db").group == nil || s.inst("db").group.state != vrrp.Active {
		t.Error("db is in no active group")
	}
	s.reload(twoInstances)
	s.got("saved")
	if s.inst("db").group != nil || len(s.e.groups) != 0 {
		t.Error("there is a group still")
	}
	if s.inst("web").deadline != web {
		t.Error("the timer was set anew")
	}
	s.hear(advert{from: peer, vrid: 52, priority: 200, vips: addrs("192.0.2.101")})
	s.state("web", vrrp.Active)
	s.state("db", vrrp.Backup)
}

// A reload that adds a member to a group that is active moves nobody else: not
// even while the member's interface has no address to send from.
func TestGroupGainsAMember(t *testing.T) {
	alone := strings.Replace(aGroup, `, "db"`, "", 1)
	s := newScript(t)
	eth1 := s.e.ifaces["eth1"]
	bare := eth1
	bare.IPv4 = nil
	s.e.ifaces["eth1"] = bare
	s.reload(oneInstance + alone)
	s.activate("web")
	s.again = nil
	s.reload(strings.Replace(twoInstances, "[instance.db]\ninterface = \"eth0\"", "[instance.db]\ninterface = \"eth1\"", 1) + aGroup)
	s.state("web", vrrp.Active)
	s.state("db", vrrp.Fault)
	settle := s.again
	if settle == nil {
		t.Fatal("the joining has no end")
	}
	ifaces := maps.Clone(s.e.ifaces)
	ifaces["eth1"] = eth1
	s.do(func() { s.e.interfaces(s.now, ifaces) })
	s.state("db", vrrp.Backup)
	s.forget()
	for s.inst("db").router.State() != vrrp.Active {
		s.fire()
	}
	s.state("web", vrrp.Active)
	if out := strings.Join(s.lines, "\n"); strings.Contains(out, "web:") || strings.Contains(out, "site:") {
		t.Errorf("somebody else moved:\n%s", out)
	}
	s.forget()
	s.do(func() { settle(s.now) })
	s.got("")
}

// One that cannot join is a member like any other in the end.
func TestGroupGainsAMemberThatCannotRun(t *testing.T) {
	s := started(t, oneInstance+strings.Replace(aGroup, `, "db"`, "", 1))
	s.activate("web")
	s.reload(strings.Replace(twoInstances, "[instance.db]\ninterface = \"eth0\"", "[instance.db]\ninterface = \"eth7\"", 1) + aGroup)
	s.state("web", vrrp.Active)
	s.forget()
	settle := s.again
	s.do(func() { settle(s.now) })
	s.got(`
		eth0#2: vrid 51 advertises 0
		drop web 192.0.2.100/24
		web: active -> fault (fault)
		site: active -> fault ()`)

	// A group that is there no more has nothing to settle.
	s = started(t, oneInstance+strings.Replace(aGroup, `, "db"`, "", 1))
	s.activate("web")
	s.reload(twoInstances + aGroup)
	settle = s.again
	s.reload(oneInstance)
	s.forget()
	s.do(func() { settle(s.now) })
	s.got("")
}

// While a reload takes a group apart and puts it together anew, no member
// moves, although the one waits for the other.
func TestGroupRenamedWhileItWaits(t *testing.T) {
	s := started(t, twoInstances+"track = [\"nginx\"]\n"+aCheck+aGroup)
	s.fire() // both
	if !s.inst("web").router.Ready() || s.inst("db").router.Ready() {
		t.Fatal("web should wait for db")
	}
	s.forget()
	s.reload(twoInstances + "track = [\"nginx\"]\n" + aCheck + strings.Replace(aGroup, "site", "place", 1))
	s.got("saved")
	s.state("web", vrrp.Backup)

	// The one that stays alone waits for nobody any more.
	s.reload(twoInstances + "track = [\"nginx\"]\n" + aCheck)
	s.got(`
		eth0#2: vrid 51 advertises 100
		hold web 192.0.2.100/24
		web: backup -> active (timeout)
		saved`)
}

// A member removed by a reload does not take the others along, and the stop of
// a daemon promotes nobody on the way.
func TestGroupLosesAMember(t *testing.T) {
	s := started(t, twoInstances+"track = [\"nginx\"]\n"+aCheck+aGroup)
	s.ran("nginx", healthcheck.Failing)
	s.state("web", vrrp.Fault)
	s.forget()
	s.reload(oneInstance)
	s.got(`
		forget db
		db: fault -> initialize (shutdown)
		web: fault -> backup (fault_cleared)
		saved`)
}

func TestGroupStops(t *testing.T) {
	s := started(t, twoInstances+"track = [\"nginx\"]\n"+aCheck+aGroup)
	s.fire() // both
	s.forget()
	s.do(func() { s.e.stop(s.now, false) })
	s.e.closePorts()
	s.got(`
		web: backup -> initialize (shutdown)
		db: backup -> initialize (shutdown)
		site: backup -> initialize ()
		close eth0#2`)
	i := slices.IndexFunc(s.notes, func(n note) bool { return n.kind == kindGroup })
	if n := s.notes[i].notify; n == nil || !n.group || n.name != "site" || n.state != "STOP" {
		t.Errorf("notification: %+v", n)
	}
}

// Names swapped between a member and a stranger: the group is that of the
// routers that have the names now.
func TestGroupAfterNamesWereSwapped(t *testing.T) {
	mail := "\n[instance.mail]\ninterface=\"eth1\"\nvrid=51\naddresses=[\"198.51.100.100/24\"]\n"
	s := started(t, twoInstances+mail+aGroup)
	db, stranger := s.inst("db"), s.inst("mail")
	s.reload(strings.NewReplacer("instance.db", "instance.mail", "instance.mail", "instance.db").Replace(twoInstances+mail) + aGroup)
	if stranger.group == nil || db.group != nil {
		t.Errorf("in the group: %v, %v", stranger.group != nil, db.group != nil)
	}
	if got := s.e.groups[0].members; !slices.Equal(got, []*instance{s.inst("web"), s.inst("db")}) {
		t.Error("the members are not those of the file")
	}
}

// Of a group that is demoted, every member is; it comes back as a whole.
func TestGroupDemoted(t *testing.T) {
	s := started(t, twoInstances+aGroup)
	s.activate("web", "db")
	list, _ := s.e.resolve([]string{"db"})
	var under []demoting
	s.do(func() { under = s.e.demote(s.now, list, demoteRequest()) })
	s.got(`
		eth0#2: vrid 51 advertises 0
		eth0#2: vrid 52 advertises 0
		drop web 192.0.2.100/24
		drop db 192.0.2.101/24
		web: active -> backup (demoted)
		db: active -> backup (group)
		site: active -> backup ()
		db: demoted by an operator
		saved`)
	s.wait(5 * time.Second)
	s.do(func() { s.e.resume(s.now, under) })
	s.state("web", vrrp.Active)
	s.state("db", vrrp.Active)
}
