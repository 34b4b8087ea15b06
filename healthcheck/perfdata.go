package healthcheck

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Limits of performance data, so that a plugin cannot fill memory, a status
// page or a time series database.
const (
	perfValuesMax = 32  // values of one run
	perfLabelMax  = 100 // bytes of a label
	perfFieldMax  = 40  // bytes of any other field
)

// A Perf is one value of performance data, as the guidelines of the monitoring
// plugins have it: 'label'=value[unit];[warn];[crit];[min];[max].
type Perf struct {
	Label string
	Value float64 // NaN: the plugin could not tell ("U")
	Unit  string  // s, ms, %, B, KB, c, …; "" is a plain number
	Warn  string  // the ranges that a warning and a critical state begin outside of,
	Crit  string  // as the plugin writes them; "" if it does not say
	Min   string  // the least and the greatest value possible; "" likewise
	Max   string
}

// ParsePerf finds the performance data in a plugin's output: what follows the
// first | of the first line, and of the lines after it everything behind the
// next |. What is not well formed is left out, and counted in bad, as are
// values beyond the first 32.
func ParsePerf(output string) (values []Perf, bad int) {
	first, rest, _ := strings.Cut(strings.TrimLeft(output, "\n"), "\n")
	_, data, _ := strings.Cut(first, "|")
	if _, long, ok := strings.Cut(rest, "|"); ok {
		data += " " + long
	}
	for {
		data = strings.TrimLeftFunc(data, unicode.IsSpace)
		if data == "" {
			return values, bad
		}
		var token string
		token, data = nextPerf(data)
		v, ok := parsePerf(token)
		if !ok || len(values) == perfValuesMax {
			bad++
			continue
		}
		values = append(values, v)
	}
}

// nextPerf cuts the first of several values off: to the first white space that
// is not within quotes. A quote that is never closed reaches to the next space.
func nextPerf(data string) (token, rest string) {
	quoted := false
	for i, r := range data {
		switch {
		case r == '\'':
			quoted = !quoted
		case unicode.IsSpace(r) && !quoted:
			return data[:i], data[i:]
		}
	}
	if quoted {
		if i := strings.IndexFunc(data, unicode.IsSpace); i >= 0 {
			return data[:i], data[i:]
		}
	}
	return data, ""
}

func parsePerf(token string) (Perf, bool) {
	label, value, ok := cutLabel(token)
	if !ok || label == "" || len(label) > perfLabelMax {
		return Perf{}, false
	}
	fields := strings.Split(value, ";")
	v := Perf{Label: label}
	if v.Value, v.Unit, ok = quantity(fields[0]); !ok {
		return Perf{}, false
	}
	for i, into := range []*string{&v.Warn, &v.Crit, &v.Min, &v.Max} {
		if i+1 < len(fields) && len(fields[i+1]) <= perfFieldMax {
			*into = fields[i+1]
		}
	}
	return v, true
}

// cutLabel splits label=value. A label in single quotes may hold anything; a
// quote within is doubled.
func cutLabel(token string) (label, value string, ok bool) {
	inner, quoted := strings.CutPrefix(token, "'")
	if !quoted {
		label, value, ok = strings.Cut(token, "=")
		return label, value, ok && !strings.Contains(label, "'")
	}
	for i := 0; i < len(inner); i++ {
		switch {
		case inner[i] != '\'':
		case strings.HasPrefix(inner[i:], "''"):
			i++
		default:
			value, ok = strings.CutPrefix(inner[i+1:], "=")
			return strings.ReplaceAll(inner[:i], "''", "'"), value, ok
		}
	}
	return "", "", false
}

// quantity splits a number from its unit. A comma is accepted for the point, as
// plugins write it that follow a locale.
func quantity(s string) (value float64, unit string, ok bool) {
	if s == "U" {
		return math.NaN(), "", true
	}
	end := 0
	for end < len(s) && strings.IndexByte("0123456789.,+-", s[end]) >= 0 {
		end++
	}
	// An exponent, but not the E of a unit.
	if end+1 < len(s) && (s[end] == 'e' || s[end] == 'E') && strings.IndexByte("0123456789+-", s[end+1]) >= 0 {
		for end++; end < len(s) && strings.IndexByte("0123456789+-", s[end]) >= 0; end++ {
		}
	}
	value, err := strconv.ParseFloat(strings.Replace(s[:end], ",", ".", 1), 64)
	if err != nil || math.IsInf(value, 0) {
		return 0, "", false
	}
	unit = s[end:]
	return value, unit, len(unit) <= perfFieldMax
}
