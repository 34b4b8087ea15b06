package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"sync"
	"time"

	"vrrpd/internal/control"
)

const (
	// patience is how long a page waits for the daemon.
	patience = 5 * time.Second
	// maxReaders is how many pages are made at once. Each asks the loop that
	// sends the advertisements, so a crowd must not queue up behind it.
	maxReaders = 8
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var (
	// Parsed when the first page is asked for: a start would wait for it.
	pageTemplate = sync.OnceValue(func() *template.Template { return template.Must(template.New("page").Parse(pageHTML)) })
	policy       = fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		sourceHash(pageCSS), sourceHash(pageJS))
)

// sourceHash admits an inline style or script (Content Security Policy Level 3,
// section 2.3.1).
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var errCrowded = errors.New("too many readers at once; the page tries again by itself")

// Handler serves the status page. status is called for every page; its error
// is shown with the HTTP status 503.
func Handler(status func(context.Context) (*control.Status, error)) http.Handler {
	return &handler{status: status, now: time.Now, readers: make(chan struct{}, maxReaders)}
}

type handler struct {
	status  func(context.Context) (*control.Status, error)
	now     func() time.Time
	readers chan struct{} // a place for each
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page can only be read", http.StatusMethodNotAllowed)
		return
	}
	code := http.StatusOK
	s, err := h.ask(r.Context())
	if err != nil {
		code = http.StatusServiceUnavailable
	}
	var body bytes.Buffer
	if err := pageTemplate().Execute(&body, newPage(s, err, h.now())); err != nil {
		http.Error(w, "status page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// A reader that is gone concerns nobody else.
	_, _ = w.Write(body.Bytes())
}

// ask gets the status for one reader.
func (h *handler) ask(ctx context.Context) (*control.Status, error) {
	select {
	case h.readers <- struct{}{}:
		defer func() { <-h.readers }()
	default:
		return nil, errCrowded
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := h.status(ctx)
	if err == nil && s == nil {
		err = errors.New("the daemon gave no status")
	}
	return s, err
}
