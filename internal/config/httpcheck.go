package config

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"vrrpd/healthcheck/probe"
)

// http reads the table of that kind.
func (r probeReader) http() probe.HTTP {
	p := probe.HTTP{
		URL: r.text("url"), UnixSocket: r.text("unix_socket"), Body: r.text("body"), Host: r.text("host"),
		TLS: r.tls(), Source: r.address("source"), Device: r.text("device"),
	}
	if r.given("method") {
		p.Method = r.text("method")
	}
	if r.given("status") {
		p.Status = r.statuses()
	}
	headers := r.table("headers")
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, ok := headers[name].(string)
		if !ok {
			*r.ok = false
			r.at(r.place("headers").field(name), r.key("headers")+"."+TOMLKey(name), "it is "+typeName(headers[name])+", must be a string", "write it in quotes", false)
			continue
		}
		if p.Header == nil {
			p.Header = map[string]string{}
		}
		p.Header[name] = value
	}
	if strings.HasPrefix(p.URL, "http://") {
		for key, set := range map[string]bool{"ca_file": p.TLS.CAFile != "", "server_name": p.TLS.ServerName != "", "insecure": p.TLS.Insecure} {
			if set {
				r.wrong(key, "it is about certificates, and the URL is not an https one", "write https in url, or remove it")
			}
		}
	}
	return p
}

// tls reads the keys about a server's certificate.
func (r probeReader) tls() probe.TLS {
	return probe.TLS{ServerName: r.text("server_name"), CAFile: r.text("ca_file"), Insecure: r.boolean("insecure")}
}

// statuses reads codes and ranges of them.
func (r probeReader) statuses() (out []probe.StatusRange) {
	for i, text := range r.texts("status") {
		from, to, isRange := strings.Cut(text, "-")
		a, errA := strconv.Atoi(strings.TrimSpace(from))
		b, errB := a, error(nil)
		if isRange {
			b, errB = strconv.Atoi(strings.TrimSpace(to))
		}
		if errA != nil || errB != nil {
			*r.ok = false
			r.failItem("status", i, quoteShort(text)+" is neither a status nor a range", `write such as 200, or "200-299"`)
			continue
		}
		out = append(out, probe.StatusRange{From: a, To: b})
	}
	if len(out) == 0 && *r.ok {
		r.wrong("status", "there is none", `write such as ["200-299"]`)
	}
	return out
}

func showHTTP(s probe.HTTP) literals {
	out := literals{
		"url": TOMLString(withoutPassword(s.URL)), "unix_socket": lit(s.UnixSocket), "method": lit(s.Method), "body": lit(s.Body), "host": lit(s.Host),
		"ca_file": lit(s.TLS.CAFile), "server_name": lit(s.TLS.ServerName), "insecure": litTrue(s.TLS.Insecure), "source": litAddress(s.Source), "device": lit(s.Device),
	}
	if s.Status != nil {
		var parts []string
		for _, r := range s.Status {
			parts = append(parts, TOMLString(r.String()))
		}
		out["status"] = "[" + strings.Join(parts, ", ") + "]"
	}
	if s.Header != nil {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(s.Header)) {
			value := s.Header[name]
			if secret(name) {
				value = "not shown"
			}
			parts = append(parts, TOMLKey(name)+" = "+TOMLString(value))
		}
		out["headers"] = "{ " + strings.Join(parts, ", ") + " }"
	}
	return out
}

// secret reports whether a header field seems to hold what must not be shown to
// everybody who may read the configuration.
func secret(name string) bool {
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "key", "secret", "pass"}, func(word string) bool {
		return strings.Contains(strings.ToLower(name), word)
	})
}

// withoutPassword is a URL with xxxxx in place of the password in it.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	return u.Redacted()
}
