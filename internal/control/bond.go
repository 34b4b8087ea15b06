package control

// BondDetail is everything about one bond, for `vrrpctl bond`. The kernel's
// options have the kernel's names, with the unit behind those that have one.
// Links hides the shorter list of Bond, which is empty here.
type BondDetail struct {
	Bond
	Links     []LinkDetail `json:"links"`
	Instances []string     `json:"instances"` // those that run over it, in the order of the file

	Up      bool   `json:"up"` // administratively
	Carrier bool   `json:"carrier"`
	MAC     string `json:"mac"`

	Primary  string `json:"primary,omitempty"`
	Reselect string `json:"primary_reselect,omitempty"` // in modes with an active link

	Monitor      string   `json:"monitor"` // miimon | arp | none
	MIIMon       int64    `json:"miimon_ms"`
	UpDelay      int64    `json:"updelay_ms"`
	DownDelay    int64    `json:"downdelay_ms"`
	ARPInterval  int64    `json:"arp_interval_ms"`
	ARPTargets   []string `json:"arp_targets,omitempty"` // arp_ip_target and ns_ip6_target
	ARPValidate  string   `json:"arp_validate,omitempty"`
	FailoverTime float64  `json:"failover_seconds,omitempty"` // at worst, from a link's failure to the use of another; 0: never

	FailOverMAC string `json:"fail_over_mac,omitempty"` // active-backup
	NumGratARP  int    `json:"num_grat_arp"`
	ResendIGMP  int    `json:"resend_igmp"`
	MinLinks    int    `json:"min_links"` // the driver's own
	HashPolicy  string `json:"xmit_hash_policy,omitempty"`
	LACP        *LACP  `json:"lacp,omitempty"` // 802.3ad
}

// LACP is the negotiation of an 802.3ad bond.
type LACP struct {
	Rate       string `json:"rate"` // slow | fast
	Aggregator int    `json:"aggregator"`
	Ports      int    `json:"ports"`
	ActorKey   int    `json:"actor_key"`
	PartnerKey int    `json:"partner_key"`
	Partner    string `json:"partner,omitempty"` // "": nobody answers
}

// LinkDetail is everything about one link of a bond. Up of the Link means that
// the bond could send over it.
type LinkDetail struct {
	Link
	AdminUp  bool      `json:"admin_up"`
	Carrier  bool      `json:"carrier"`
	MII      string    `json:"mii"` // the monitor's word: up, going down, down, going back
	MAC      string    `json:"mac"`
	PermMAC  string    `json:"permanent_mac"`
	Duplex   string    `json:"duplex"` // full | half | unknown
	Priority int       `json:"priority,omitempty"`
	Driver   string    `json:"driver,omitempty"`
	Bus      string    `json:"bus,omitempty"`
	LACP     *LinkLACP `json:"lacp,omitempty"`
}

// LinkLACP is the negotiation of one link.
type LinkLACP struct {
	Aggregator int    `json:"aggregator"`
	Actor      string `json:"actor"`   // our port's state bits, comma-separated
	Partner    string `json:"partner"` // the other side's, as it last told
}

// Diagnosis is what `vrrpctl bond doctor` found.
type Diagnosis struct {
	Bonds    []string  `json:"bonds"` // those that were examined
	Findings []Finding `json:"findings"`
}

// Finding is one thing that is wrong with a bond.
type Finding struct {
	Bond     string            `json:"bond"`
	Link     string            `json:"link,omitempty"`
	Code     string            `json:"code"`     // stable: no_monitor, …
	Severity string            `json:"severity"` // error | warning | notice
	What     string            `json:"what"`
	Cost     string            `json:"cost"`
	Do       string            `json:"do,omitempty"`
	Fix      map[string]string `json:"fix,omitempty"` // by network manager, and "now"
}
