package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vrrpd/internal/control"
	"vrrpd/internal/control/controltest"
)

func bondBackend() *controltest.Backend {
	return &controltest.Backend{
		BondList: []control.BondDetail{
			{Bond: control.Bond{Name: "bond0", Mode: "active-backup", Health: "healthy", ActiveLink: "eth0"},
				Links: []control.LinkDetail{{Link: control.Link{Name: "eth0", Up: true, Active: true}, MII: "up"}}, Instances: []string{"web"}, MIIMon: 100},
			{Bond: control.Bond{Name: "bond1"}},
		},
		Diagnosis: control.Diagnosis{Bonds: []string{"bond0"}, Findings: []control.Finding{{Bond: "bond0", Code: "no_monitor", Fix: map[string]string{"now": "x"}}}},
		Progress:  []string{"moving there", "moving back"},
		Report:    control.DrillReport{Bond: "bond0", Held: true},
	}
}

func TestBondCalls(t *testing.T) {
	b := bondBackend()
	c := client(t, serve(t, b, ""))
	all, err := c.Bonds(t.Context(), "")
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	want := b.BondList[0]
	want.Reasons = []string{}
	if d := cmp.Diff(want, all[0]); d != "" {
		t.Error(d)
	}
	if one, err := c.Bonds(t.Context(), "bond1"); err != nil || len(one) != 1 || one[0].Links == nil || one[0].Instances == nil {
		t.Errorf("%+v, %v", one, err)
	}
	var se *control.StatusError
	if _, err := c.Bonds(t.Context(), "bond7"); !errors.As(err, &se) || se.Code != http.StatusNotFound {
		t.Errorf("unknown bond: %v", err)
	}
	if d, err := c.DiagnoseBonds(t.Context(), ""); err != nil || !cmp.Equal(*d, b.Diagnosis) {
		t.Errorf("%+v, %v", d, err)
	}
}

// The list of links in JSON is the detailed one, and no list is null.
func TestBondJSON(t *testing.T) {
	api := http.StripPrefix("/api", control.Handler(bondBackend(), true))
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/bonds", nil))
	if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "null") || strings.Count(body, `"links"`) != 2 || !strings.Contains(body, `"mii":"up"`) {
		t.Errorf("%d %s", w.Code, body)
	}
	// What sends packets or moves links is not for the network.
	for path, method := range map[string]string{"/api/v1/bonds/doctor": "GET", "/api/v1/drill": "POST"} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("{}")))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s %s: %d", method, path, w.Code)
		}
	}
}

func TestDrillStream(t *testing.T) {
	b := bondBackend()
	c := client(t, serve(t, b, ""))
	var told []string
	tell := func(p control.DrillProgress) { told = append(told, p.Text) }
	q := control.DrillRequest{Kind: control.DrillBond, Instance: "web", Target: "192.0.2.1"}
	r, err := c.Drill(t.Context(), q, tell)
	if err != nil || !r.Held || r.Bond != "bond0" || r.Reasons == nil || r.Phases == nil || r.Instances == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if d := cmp.Diff(b.Progress, told); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]any{q}, b.Asked()); d != "" {
		t.Error(d)
	}

	// Refused before anything was told: an answer like any other.
	b.Err = &control.StatusError{Code: 409, Message: "a drill is under way already"}
	var se *control.StatusError
	if _, err := c.Drill(t.Context(), q, tell); !errors.As(err, &se) || se.Code != 409 {
		t.Errorf("refused: %v", err)
	}
}

// late fails after it has told something.
type late struct {
	*controltest.Backend
	err error
}

func (l late) Drill(_ context.Context, _ control.DrillRequest, progress func(control.DrillProgress)) (*control.DrillReport, error) {
	progress(control.DrillProgress{Text: "moving there"})
	return nil, l.err
}

func TestDrillFailsLate(t *testing.T) {
	c := client(t, serve(t, late{bondBackend(), errors.New("netlink: no buffers")}, ""))
	told := 0
	_, err := c.Drill(t.Context(), control.DrillRequest{}, func(control.DrillProgress) { told++ })
	if err == nil || err.Error() != "netlink: no buffers" || told != 1 {
		t.Errorf("%v, told %d times", err, told)
	}
}

// A client that goes away ends the drill's context.
func TestDrillClientLeaves(t *testing.T) {
	b := bondBackend()
	b.Wait = make(chan struct{})
	left := make(chan error, 1)
	socket := serve(t, watched{b, left}, "")
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"kind":"bond"}`
	if _, err := conn.Write([]byte("POST /v1/drill HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n" + body)); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q, %v", line, err)
	}
	conn.Close()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the drill ended with %v", err)
	}
}

// watched tells how its drill ended.
type watched struct {
	*controltest.Backend
	left chan error
}

func (w watched) Drill(ctx context.Context, r control.DrillRequest, progress func(control.DrillProgress)) (*control.DrillReport, error) {
	rep, err := w.Backend.Drill(ctx, r, progress)
	w.left <- err
	return rep, err
}

// The report stands alone on its line.
func TestDrillLines(t *testing.T) {
	for _, m := range []control.DrillMessage{{Progress: &control.DrillProgress{Text: "x"}}, {Report: &control.DrillReport{}}, {Error: "x"}} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(b, &keys); err != nil || len(keys) != 1 {
			t.Errorf("%s: %v", b, err)
		}
	}
}
