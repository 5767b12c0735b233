package iscsi

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// A URL is where a unit is found, as libiscsi and QEMU write it:
//
//	iscsi://[user[%secret]@]host[:port][/target/lun][?key=value&...]
//
// The keys target_user and target_password are of mutual CHAP, header_digest and
// data_digest are crc32c or none; others are ignored. Instead of %secret, :secret is
// taken too.
type URL struct {
	Address                  string // host:port
	Target                   string // empty for a portal alone
	LUN                      int    // -1 for a target alone
	User, Secret             string
	MutualUser, MutualSecret string
	HeaderDigest, DataDigest bool
}

// ParseURL takes a URL apart.
func ParseURL(s string) (u URL, err error) {
	bad := func(why string) (URL, error) { return URL{}, fmt.Errorf("iscsi: the URL %q: %s", s, why) }
	rest, ok := cutPrefixFold(s, "iscsi://")
	if !ok {
		return bad("it does not begin with iscsi://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	place, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(place, '@'); at >= 0 {
		u.User, u.Secret = cutUser(place[:at])
		place = place[at+1:]
	}
	if place == "" || strings.ContainsAny(place, " @%") {
		return bad("no host")
	}
	u.Address, u.LUN = withPort(place), -1
	if path = strings.TrimSuffix(path, "/"); path != "" {
		name, lun, hasLUN := strings.Cut(path, "/")
		if u.Target, err = url.PathUnescape(name); err != nil || !validName(strings.ToLower(u.Target)) {
			return bad("no name of a target")
		}
		if hasLUN {
			if u.LUN, err = strconv.Atoi(lun); err != nil || u.LUN < 0 || u.LUN > 1<<14-1 {
				return bad("no number of a unit")
			}
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return bad("no query")
	}
	u.MutualUser, u.MutualSecret = values.Get("target_user"), values.Get("target_password")
	u.HeaderDigest = strings.EqualFold(values.Get("header_digest"), "crc32c")
	u.DataDigest = strings.EqualFold(values.Get("data_digest"), "crc32c")
	return u, nil
}

// cutUser takes user and secret apart: at the first : or %, the latter unless it
// begins an escape of a URL.
func cutUser(s string) (user, secret string) {
	at := strings.IndexAny(s, "%:")
	if at < 0 {
		return s, ""
	}
	user, secret = s[:at], s[at+1:]
	if s[at] == ':' {
		if v, err := url.PathUnescape(secret); err == nil {
			secret = v
		}
	}
	return user, secret
}

// Dialer is d with what the URL says: CHAP and digests.
func (u *URL) Dialer(d Dialer) *Dialer {
	if u.User != "" {
		d.User, d.Secret = u.User, u.Secret
	}
	if u.MutualUser != "" {
		d.MutualUser, d.MutualSecret = u.MutualUser, u.MutualSecret
	}
	d.HeaderDigest = d.HeaderDigest || u.HeaderDigest
	d.DataDigest = d.DataDigest || u.DataDigest
	return &d
}

// Open logs in to the target of a URL and opens its unit. The device's Close ends the
// session.
func (d *Dialer) Open(ctx context.Context, rawURL string) (*SessionDevice, error) {
	u, err := ParseURL(rawURL)
	if err != nil {
		return nil, err
	}
	if u.LUN < 0 {
		return nil, fmt.Errorf("iscsi: the URL %q names no unit", rawURL)
	}
	c, err := u.Dialer(*d).Session(ctx, u.Address, u.Target)
	if err != nil {
		return nil, err
	}
	dev, err := c.Open(ctx, u.LUN)
	if err != nil {
		c.Close()
		return nil, err
	}
	return &SessionDevice{dev, c}, nil
}

// A SessionDevice is a Device with a session of its own.
type SessionDevice struct {
	*Device
	Client *Client
}

// Close ends the session.
func (d *SessionDevice) Close() error { return d.Client.Close() }
