package nbd

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// defaultPort is that of IANA.
const defaultPort = "10809"

// A target is where a URI leads (doc/uri.md of the specification).
type target struct {
	network, address string
	export           string
	tls              bool
	serverName       string // for TLS
	certificates     string // a directory: tls-certificates
}

// parseURI takes nbd://HOST[:PORT]/EXPORT, nbds://..., nbd+unix:///EXPORT?socket=PATH
// and nbds+unix:///... The parameters tls-hostname and tls-certificates are known;
// others are ignored, as the specification wants it.
func parseURI(s string) (t target, err error) {
	bad := func(format string, args ...any) (target, error) {
		return target{}, fmt.Errorf("nbd: the URI %q: "+format, append([]any{s}, args...)...)
	}
	u, err := url.Parse(s)
	if err != nil {
		return bad("%w", err)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("%w", err)
	}
	if u.Opaque != "" {
		return bad("no // behind the scheme")
	}
	t.export = strings.TrimPrefix(u.Path, "/")
	if _, err := parseString([]byte(t.export)); err != nil {
		return bad("the name of the export is %w", err)
	}
	t.serverName = u.Hostname()
	switch u.Scheme {
	case "nbd", "nbds":
		if q.Has("socket") {
			return bad("a socket goes with the scheme %s+unix", u.Scheme)
		}
		port := u.Port()
		if port == "" {
			port = defaultPort
		}
		host := u.Hostname()
		if host == "" {
			host, t.serverName = "localhost", "localhost"
		}
		t.network, t.address = "tcp", net.JoinHostPort(host, port)
	case "nbd+unix", "nbds+unix":
		if u.Host != "" {
			return bad("a host and a socket")
		}
		if q.Get("socket") == "" {
			return bad("no parameter socket")
		}
		t.network, t.address, t.serverName = "unix", q.Get("socket"), "localhost"
	default:
		return bad("the scheme is none of nbd, nbds, nbd+unix, nbds+unix")
	}
	t.tls = strings.HasPrefix(u.Scheme, "nbds")
	if name := q.Get("tls-hostname"); name != "" {
		t.serverName = name
	}
	t.certificates = q.Get("tls-certificates")
	return t, nil
}
