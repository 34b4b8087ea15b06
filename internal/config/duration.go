package config

import (
	"strings"
	"time"
)

// duration prints without the zero units that time.Duration adds: 1m, not 1m0s.
type duration time.Duration

func (d duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// TOMLDuration is a duration as TOML.
func TOMLDuration(d time.Duration) string { return `"` + duration(d).String() + `"` }
