package main

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Options say how to render.
type Options struct {
	Now   time.Time // spans are counted from it, and moments shown in its zone
	Color bool
}

// A color is an SGR sequence's parameters (ECMA-48); "" is the terminal's own.
type color string

const (
	plain  color = ""
	bold   color = "1"
	red    color = "1;31"
	green  color = "32"
	yellow color = "33"
	dim    color = "2"
)

// paint is s in a color, if there are any.
func (o Options) paint(c color, s string) string {
	if !o.Color || c == plain || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// A cell is one field of a grid.
type cell struct {
	text  string
	color color
}

// A grid is a table whose columns are as wide as their widest cell. Its notes
// are whole lines beneath a row and widen no column.
type grid struct {
	opts Options
	rows []gridRow
}

type gridRow struct {
	cells []cell
	notes []cell
}

// head adds the column titles.
func (g *grid) head(titles ...string) {
	cells := make([]cell, len(titles))
	for i, t := range titles {
		cells[i] = cell{t, dim}
	}
	g.rows = append(g.rows, gridRow{cells: cells})
}

// row adds a row.
func (g *grid) row(cells ...cell) { g.rows = append(g.rows, gridRow{cells: cells}) }

// note adds a line beneath the last row.
func (g *grid) note(c color, text string) {
	last := &g.rows[len(g.rows)-1]
	last.notes = append(last.notes, cell{text, c})
}

// write writes the rows, two spaces between the columns.
func (g *grid) write(w io.Writer) error {
	var width []int
	for i := range g.rows {
		for j := range g.rows[i].cells {
			c := &g.rows[i].cells[j]
			c.text = printable(c.text)
			if j == len(width) {
				width = append(width, 0)
			}
			width[j] = max(width[j], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, r := range g.rows {
		pad := 0 // owed before the next cell that has something to show
		for j, c := range r.cells {
			if c.text != "" {
				b.WriteString(strings.Repeat(" ", pad) + g.opts.paint(c.color, c.text))
				pad = 0
			}
			pad += width[j] - utf8.RuneCountInString(c.text) + 2
		}
		b.WriteByte('\n')
		for _, n := range r.notes {
			b.WriteString("  " + g.opts.paint(n.color, printable(n.text)) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
