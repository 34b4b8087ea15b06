package main

import (
	"io"
	"strings"

	"vrrpd/internal/config"
)

// A defaultRow is a key of the configuration in JSON.
type defaultRow struct {
	Key     string `json:"key"`
	Default string `json:"default"`
	Limits  string `json:"limits,omitempty"`
}

// configDefaults prints every key with its default and limits.
func (a *app) configDefaults() error {
	text := config.Defaults()
	return a.print(defaultRows(text), func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// defaultRows cuts the table at the columns of its header.
func defaultRows(table string) []defaultRow {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	second, third := strings.Index(lines[0], "DEFAULT"), strings.Index(lines[0], "LIMITS")
	rows := []defaultRow{}
	if second < 0 || third < second {
		return rows
	}
	for _, l := range lines[1:] {
		column := func(from, to int) string {
			r := []rune(l)
			return strings.TrimSpace(string(r[min(from, len(r)):min(to, len(r))]))
		}
		rows = append(rows, defaultRow{column(0, second), column(second, third), column(third, len(l))})
	}
	return rows
}
