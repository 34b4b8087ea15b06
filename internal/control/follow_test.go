package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/control"
)

func TestFollow(t *testing.T) {
	b := backend()
	c := client(t, serve(t, b, ""))
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.Follow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// Follow has returned: nothing from here on is missed, and each event
	// arrives without the next one pushing it.
	for id := uint64(3); id < 6; id++ {
		if lost := b.Emit(control.Event{ID: id, Kind: "check", Text: "a\nb"}); lost != 0 {
			t.Fatalf("%d lost", lost)
		}
		e, err := s.Next()
		if err != nil || e.ID != id || e.Text != "a\nb" {
			t.Fatalf("event %d: %+v, %v", id, e, err)
		}
	}
	cancel()
	if _, err := s.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	until(t, "the daemon sees the follower leave", func() bool { return b.Followers() == 0 })
}

func TestShutdownEndsFollowers(t *testing.T) {
	b := backend()
	l, _, err := control.Listen(t.TempDir()+"/s", "")
	if err != nil {
		t.Fatal(err)
	}
	srv := control.NewServer(b, nil)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	c := client(t, l.Addr().String())
	s, err := c.Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if _, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream's end: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := c.Status(t.Context(), ""); !errors.Is(err, control.ErrNoDaemon) {
		t.Errorf("afterwards: %v", err)
	}
}

// A command under way is cut off when the patience of Shutdown ends.
func TestShutdownCutsOff(t *testing.T) {
	b := backend()
	b.Wait = make(chan struct{})
	l, _, err := control.Listen(t.TempDir()+"/s", "")
	if err != nil {
		t.Fatal(err)
	}
	srv := control.NewServer(b, nil)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	c := client(t, l.Addr().String())
	answered := make(chan error, 1)
	go func() {
		_, err := c.Demote(t.Context(), control.DemoteRequest{})
		answered <- err
	}()
	until(t, "the demotion arrives", func() bool { return len(b.Asked()) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the demotion was answered")
	}
	<-served
}

// A client that leaves ends what the daemon does for it.
func TestAskerLeaves(t *testing.T) {
	b := backend()
	b.Wait = make(chan struct{})
	c := client(t, serve(t, b, ""))
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := c.Demote(ctx, control.DemoteRequest{})
		answered <- err
	}()
	until(t, "the demotion arrives", func() bool { return len(b.Asked()) == 1 })
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The cleanup's Shutdown would wait in vain if the server did not notice.
}

// A follower that reads nothing loses its connection; the daemon's side of it
// never waits, and others go on.
func TestSlowFollower(t *testing.T) {
	b := backend()
	api := control.Handler(b, false)
	control.SetWriteTimeout(api, 50*time.Millisecond)
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: api}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer func() { srv.Close(); <-done }()

	slow, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "GET /v1/events/follow HTTP/1.1\r\nHost: x\r\n\r\n")
	until(t, "the slow one follows", func() bool { return b.Followers() == 1 })

	fine, err := client(t, l.Addr().String()).Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer fine.Close()
	big := strings.Repeat("x", 64<<10)
	began := time.Now()
	for id := uint64(1); b.Followers() == 2; id++ {
		if time.Since(began) > patience {
			t.Fatal("the slow follower is still there")
		}
		b.Emit(control.Event{ID: id, Text: big}) // never blocks
		if e, err := fine.Next(); err != nil || e.ID != id {
			t.Fatalf("the other follower: event %d, %v, want %d", e.ID, err, id)
		}
	}
}

func TestTooManyFollowers(t *testing.T) {
	b := backend()
	c := client(t, serve(t, b, ""))
	var streams []*control.Stream
	defer func() {
		for _, s := range streams {
			s.Close()
		}
	}()
	for {
		s, err := c.Follow(t.Context())
		if err != nil {
			var se *control.StatusError
			if !errors.As(err, &se) || se.Code != http.StatusServiceUnavailable {
				t.Fatalf("follower %d: %v", len(streams), err)
			}
			break
		}
		if streams = append(streams, s); len(streams) > 1000 {
			t.Fatal("followers without bound")
		}
	}
	if _, err := c.Status(t.Context(), ""); err != nil {
		t.Errorf("status beside %d followers: %v", len(streams), err)
	}
	streams[0].Close()
	until(t, "a place comes back", func() bool {
		s, err := c.Follow(t.Context())
		if err == nil {
			streams = append(streams, s)
		}
		return err == nil
	})
}

// A body's deadline must not end what comes after the body.
func TestCommandOutlastsItsBodysDeadline(t *testing.T) {
	b := backend()
	b.Wait = make(chan struct{})
	l, _, err := control.Listen(t.TempDir()+"/s", "")
	if err != nil {
		t.Fatal(err)
	}
	srv := control.NewServer(b, nil)
	control.SetBodyTimeout(srv, 30*time.Millisecond)
	start(t, srv, l)
	c := client(t, l.Addr().String())
	time.AfterFunc(150*time.Millisecond, func() { close(b.Wait) })
	if _, err := c.Demote(t.Context(), control.DemoteRequest{}); err != nil {
		t.Errorf("a demotion longer than the body's deadline: %v", err)
	}

	// A body that never ends does end.
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/demote HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
		t.Errorf("a body that stops half-way: %q, %v", answer, err)
	}
	if n := len(b.Asked()); n != 1 {
		t.Errorf("%d demotions", n)
	}
}
