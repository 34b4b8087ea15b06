package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"vrrpd/internal/control"
)

var now = time.Date(2026, 3, 14, 4, 10, 30, 0, time.UTC)

// sample has something in every part of the page.
func sample() *control.Status {
	until := now.Add(8 * time.Minute)
	return &control.Status{
		Node: "node1", Version: "0.1.0", UptimeSeconds: 11520, Warnings: []string{"running without a lock: read-only file system"},
		Instances: []control.Instance{
			{Name: "web", VRID: 51, Version: 3, Family: "ipv4", Interface: "bond0", State: "active", Since: now.Add(-192 * time.Second),
				Cause:     "no advertisement from 192.0.2.12 for 3.61s",
				Priority:  control.Priority{Configured: 100, Effective: 80, Parts: []control.Part{{Source: "check:nginx", Weight: -20}}},
				Addresses: []string{"192.0.2.100/24", "192.0.2.101/24"}, Installed: []string{"192.0.2.100/24"},
				ActiveRouter: &control.ActiveRouter{Address: "192.0.2.11", Priority: 80}},
			{Name: "db", VRID: 52, Version: 3, Family: "ipv4", Interface: "bond0", State: "backup", Since: now.Add(-49 * time.Hour),
				Priority: control.Priority{Configured: 90, Effective: 1, Parts: []control.Part{{Source: "demoted", Weight: -89}}},
				Demoted:  true, DemotedUntil: &until, Addresses: []string{"192.0.2.110/24"},
				ActiveRouter: &control.ActiveRouter{Address: "192.0.2.12", Priority: 100}},
			{Name: "mail6", VRID: 53, Version: 3, Family: "ipv6", Interface: "eth2", State: "fault", Since: now.Add(-12 * time.Second),
				Reasons: []string{"eth2 has no carrier"}, Priority: control.Priority{Configured: 100, Effective: 100}, Addresses: []string{"fe80::53/64"}},
		},
		Groups: []control.Group{{Name: "site", State: "backup", Instances: []string{"web", "db"}}},
		Checks: []control.Check{
			{Name: "nginx", Verdict: "failing", Since: now.Add(-12 * time.Second), LastRun: now.Add(-time.Second), DurationSeconds: 0.012, Result: "exit status 2", Output: "refused"},
			{Name: "disk", Passing: true, Verdict: "passing", Since: now.Add(-3 * time.Hour), LastRun: now, Result: "exit status 0", Output: "4% used"},
			{Name: "new", Verdict: "unknown", Since: now},
		},
		Bonds: []control.Bond{{Name: "bond0", Mode: "active-backup", Health: "degraded", ActiveLink: "eth1", Reasons: []string{"eth0: down"},
			Links: []control.Link{{Name: "eth0", Failures: 2}, {Name: "eth1", Up: true, Active: true, SpeedMbps: 1000}}}},
		Interfaces: []control.Interface{{Name: "bond0", Index: 3, Up: true, Errors: map[string]uint64{"vrid": 17}}, {Name: "eth2", Index: 4}, {Name: "eth9"}},
	}
}

// get serves one page.
func get(t *testing.T, method string, s *control.Status, err error) (*http.Response, string, *html.Node) {
	t.Helper()
	h := Handler(func(context.Context) (*control.Status, error) { return s, err }).(*handler)
	h.now = func() time.Time { return now }
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
	body := w.Body.String()
	doc, parseErr := html.Parse(strings.NewReader(body))
	if parseErr != nil {
		t.Fatal(parseErr)
	}
	return w.Result(), body, doc
}

// text is what a person sees of a document, a space between its pieces.
func text(doc *html.Node) string {
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.DataAtom != atom.Style && n.Parent.DataAtom != atom.Script {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// all are the elements of one kind.
func all(doc *html.Node, kind atom.Atom) (out []*html.Node) {
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.DataAtom == kind {
			out = append(out, n)
		}
	}
	return out
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestPage(t *testing.T) {
	resp, body, doc := get(t, http.MethodGet, sample(), nil)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, %v", resp.Status, resp.Header)
	}
	shown := text(doc)
	at := 0
	for _, want := range []string{
		"node1 1 active, 1 backup, 1 fault · vrrpd 0.1.0 · up 3h12m",
		"WARNING running without a lock: read-only file system",
		"WARNING web: active without 192.0.2.101/24",
		"web VRID 51, VRRPv3, ipv4 on bond0 ACTIVE (MASTER) 3m12s 80 = 100 -20 check:nginx this node 1 of 2 192.0.2.100/24 192.0.2.101/24",
		"why: no advertisement from 192.0.2.12 for 3.61s",
		"db VRID 52, VRRPv3, ipv4 on bond0 BACKUP 2d01h 1 = 90 -89 demoted 192.0.2.12 (100) 0 of 1 192.0.2.110/24",
		"demoted, for 8m00s more; vrrpctl promote db lifts it",
		"mail6 VRID 53, VRRPv3, ipv6 on eth2 FAULT 12s 100 nobody known 0 of 1 fe80::53/64",
		"held: eth2 has no carrier",
		"site BACKUP web, db",
		"nginx FAILING 12s 1s ago 12ms exit status 2: refused",
		"disk passing 3h00m 0ms ago 0ms 4% used",
		"new unknown 0ms never –",
		"bond0 DEGRADED active-backup eth1 eth0 DOWN, failures: 2; eth1 up, 1000 Mb/s",
		"why: eth0: down",
		"bond0 up vrid: 17",
		"eth2 DOWN none",
		"eth9 ABSENT none",
		"As of 2026-03-14 04:10:30 UTC",
	} {
		n := strings.Index(shown[at:], want)
		if n < 0 {
			t.Fatalf("%q is missing, or in the wrong place, in:\n%s", want, shown)
		}
		at += n
	}
	var links []string
	for _, a := range all(doc, atom.A) {
		links = append(links, attribute(a, "href"))
	}
	if want := []string{"./metrics", "./api/v1/status", "./api/v1/events"}; !slices.Equal(links, want) {
		t.Errorf("links %q, want %q", links, want)
	}
	// Without scripts the page renews itself too. (The parser takes the inside
	// of noscript for text, as a browser with scripts does.)
	if !strings.Contains(body, `<noscript><meta http-equiv="refresh" content="2"></noscript>`) {
		t.Error("the page does not renew itself without scripts")
	}
	// A colour never stands alone: every badge says in words what it means.
	for _, n := range all(doc, atom.Span) {
		if strings.HasPrefix(attribute(n, "class"), "badge ") && text(n) == "" {
			t.Errorf("a badge of class %q says nothing", attribute(n, "class"))
		}
	}
}

// TestSelfContained: nothing is loaded from elsewhere, and the policy admits
// exactly the style and the script that stand in the page.
func TestSelfContained(t *testing.T) {
	resp, _, doc := get(t, http.MethodGet, sample(), nil)
	policy := resp.Header.Get("Content-Security-Policy")
	for kind, directive := range map[atom.Atom]string{atom.Style: "style-src", atom.Script: "script-src"} {
		found := all(doc, kind)
		if len(found) != 1 || found[0].FirstChild == nil {
			t.Fatalf("%d elements %s, want 1 with contents", len(found), kind)
		}
		if want := directive + " " + sourceHash(found[0].FirstChild.Data) + ";"; !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "./") && a.Val != "data:," {
				t.Errorf("<%s %s=%q> leads elsewhere", n.Data, a.Key, a.Val)
			}
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s %s=%q> is not admitted by the policy", n.Data, a.Key, a.Val)
			}
		}
	}
}

// TestHostile: what comes from outside is shown and nothing else.
func TestHostile(t *testing.T) {
	const evil = `</td></table><script>alert(1)</script><img src=x onerror="alert(2)">'"&` + "\x00\x1b[31m\u202e\n"
	s := sample()
	s.Node, s.Version = evil, evil
	s.Warnings = []string{evil}
	in := &s.Instances[0]
	in.Name, in.Interface, in.State, in.Cause, in.Reasons, in.Warnings = evil, evil, evil, evil, []string{evil}, []string{evil}
	in.Addresses, in.ActiveRouter.Address, in.Priority.Parts[0].Source = []string{evil}, evil, evil
	s.Groups[0] = control.Group{Name: evil, State: evil, Instances: []string{evil}}
	s.Checks[0].Name, s.Checks[0].Verdict, s.Checks[0].Output, s.Checks[0].Result = evil, evil, evil+strings.Repeat("x", 1<<16), evil
	s.Bonds[0] = control.Bond{Name: evil, Mode: evil, Health: evil, ActiveLink: evil, Reasons: []string{evil}, Links: []control.Link{{Name: evil}}}
	s.Interfaces[0] = control.Interface{Name: evil, Errors: map[string]uint64{evil: 1}}
	_, body, hostile := get(t, http.MethodGet, s, nil)
	_, _, _ = get(t, http.MethodGet, nil, errors.New(evil))
	if n := len(all(hostile, atom.Script)); n != 1 {
		t.Errorf("%d scripts, want the page's own", n)
	}
	if n := len(all(hostile, atom.Img)); n != 0 {
		t.Errorf("%d images", n)
	}
	for n := range hostile.Descendants() {
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || strings.Contains(a.Val, "alert") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	if !strings.Contains(text(hostile), "<script>alert(1)</script>") {
		t.Error("the text itself is not shown")
	}
	if len(body) > 1<<15 {
		t.Errorf("the page has %d bytes: a long output was not cut", len(body))
	}
	_, _, failed := get(t, http.MethodGet, nil, errors.New(evil))
	if len(all(failed, atom.Script)) != 1 || len(all(failed, atom.Img)) != 0 {
		t.Error("an error's text became markup")
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"  two\nlines\t":       "two lines",
		"a\x1b[31mb\u202ec":    "a\uFFFD[31mb\uFFFDc",
		"bad \xff utf-8":       "bad \uFFFD utf-8",
		"twelve runes":         "twelve runes",
		"thirteen rune":        "thirteen ru…",
		strings.Repeat("ü", 9): strings.Repeat("ü", 9),
	} {
		if got := line(in, 12); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	resp, _, doc := get(t, http.MethodGet, nil, errors.New("the daemon is stopping"))
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text(doc), "NO STATUS the daemon is stopping") {
		t.Errorf("%s: %s", resp.Status, text(doc))
	}
	if resp, _, _ := get(t, http.MethodGet, nil, nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("no status and no error: %s", resp.Status)
	}
	if resp, _, _ := get(t, http.MethodPost, sample(), nil); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s, Allow %q", resp.Status, resp.Header.Get("Allow"))
	}
	resp, _, doc = get(t, http.MethodGet, &control.Status{Node: "empty"}, nil)
	if resp.StatusCode != http.StatusOK || !strings.Contains(text(doc), "There are no instances.") {
		t.Errorf("%s: %s", resp.Status, text(doc))
	}
}

// TestCrowd: a daemon that does not answer is asked by few, and not for ever.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Handler(func(ctx context.Context) (*control.Status, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		begun := time.Now()
		codes := make(chan string, maxReaders+1)
		ask := func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if strings.Contains(w.Body.String(), errCrowded.Error()) {
				codes <- "crowded"
			} else {
				codes <- "late"
			}
		}
		for range maxReaders {
			go ask()
		}
		synctest.Wait()
		ask()
		if got := <-codes; got != "crowded" || time.Since(begun) != 0 {
			t.Errorf("one too many: %s after %s", got, time.Since(begun))
		}
		for range maxReaders {
			if got := <-codes; got != "late" {
				t.Error(got)
			}
		}
		if got := time.Since(begun); got != patience {
			t.Errorf("the others waited %s", got)
		}
	})
}
