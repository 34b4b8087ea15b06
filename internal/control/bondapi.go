package control

import (
	"context"
	"net/http"
)

// bonds answers with lists that are never null.
func (a *API) bonds(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	bonds, err := a.b.Bonds(ctx, r.URL.Query().Get("name"))
	out := make([]BondDetail, 0, len(bonds))
	for _, b := range bonds {
		b.Reasons, b.Links, b.Instances = list(b.Reasons), list(b.Links), list(b.Instances)
		out = append(out, b)
	}
	a.answer(w, out, err)
}

func (a *API) doctor(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	d, err := a.b.DiagnoseBonds(ctx, r.URL.Query().Get("name"))
	if err == nil {
		d = &Diagnosis{Bonds: list(d.Bonds), Findings: list(d.Findings)}
	}
	a.answer(w, d, err)
}
