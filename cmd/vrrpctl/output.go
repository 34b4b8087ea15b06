package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// A format is how a command prints its result; it is the value of -o.
type format string

const (
	asTable format = "table"
	asJSON  format = "json"
	asYAML  format = "yaml"
)

// String is the format's name.
func (f *format) String() string { return string(*f) }

// Type is how usage names the value.
func (f *format) Type() string { return "format" }

// Set takes the value of -o.
func (f *format) Set(s string) error {
	switch v := format(s); v {
	case asTable, asJSON, asYAML:
		*f = v
		return nil
	}
	return fmt.Errorf("table, json or yaml")
}

// print writes v as JSON or YAML, or what table writes. It writes all of it at
// once: a reader never sees half a document of a failed call.
func (a *app) print(v any, table func(io.Writer) error) error {
	var buf bytes.Buffer
	var err error
	switch a.format {
	case asJSON:
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(v)
	case asYAML:
		err = writeYAML(&buf, v)
	default:
		err = table(&buf)
	}
	if err != nil {
		return err
	}
	_, err = a.out.Write(buf.Bytes())
	return err
}
