package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// tidy returns s with every list of the public form present and, if only is
// not empty, restricted to that instance and to what concerns it. s itself,
// which the backend may share, is left as it is.
func tidy(s *Status, only string) (*Status, error) {
	c := *s
	c.Instances = make([]Instance, 0, len(s.Instances))
	for _, in := range s.Instances {
		if only == "" || in.Name == only {
			c.Instances = append(c.Instances, tidyInstance(in))
		}
	}
	c.Checks, c.Bonds, c.Interfaces = slices.Clone(list(s.Checks)), list(s.Bonds), list(s.Interfaces)
	for i := range c.Checks {
		c.Checks[i].Instances = list(c.Checks[i].Instances)
	}
	if only == "" {
		return &c, nil
	}
	if len(c.Instances) == 0 {
		return nil, &StatusError{Code: http.StatusNotFound, Message: fmt.Sprintf("there is no instance %q", only)}
	}
	in := c.Instances[0]
	if in.Track != nil {
		c.Checks = keep(c.Checks, func(ch Check) bool { return slices.Contains(in.Track, ch.Name) })
	}
	c.Groups = keep(s.Groups, func(g Group) bool { return slices.Contains(g.Instances, only) })
	c.Interfaces = keep(s.Interfaces, func(f Interface) bool { return f.Name == in.Interface })
	// bond0 carries bond0.10 as well.
	c.Bonds = keep(s.Bonds, func(b Bond) bool {
		return b.Name == in.Interface || strings.HasPrefix(in.Interface, b.Name+".")
	})
	return &c, nil
}

func tidyInstance(in Instance) Instance {
	in.Addresses, in.Installed = list(in.Addresses), list(in.Installed)
	in.Priority.Parts = list(in.Priority.Parts)
	if in.Adverts.Errors == nil {
		in.Adverts.Errors = map[string]uint64{}
	}
	return in
}

// list is s, but never nil: JSON has null for that.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// keep is a new list of those that match.
func keep[T any](s []T, match func(T) bool) []T {
	out := []T{}
	for _, v := range s {
		if match(v) {
			out = append(out, v)
		}
	}
	return out
}
