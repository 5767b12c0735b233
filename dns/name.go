package dns

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxName is how long an absolute name may be, as text with its last dot: 255
// bytes as it is sent (RFC 1035 section 2.3.4).
const maxName = 254

// absolute is a name in the form in which it is asked for: lower case, and with
// the dot of the root at its end. False means that no host has such a name: as in
// package net, labels are letters, digits, hyphens within, and underscores, and a
// name of digits alone is none.
func absolute(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if len(name) >= maxName {
		return "", false
	}
	letters := false
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', c == '-':
				letters = true
			case '0' <= c && c <= '9':
			default:
				return "", false
			}
		}
	}
	return lower(name) + ".", letters
}

// lower is strings.ToLower of the letters of ASCII alone, as names are compared
// (RFC 4343 section 3).
func lower(s string) string {
	isUpper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	if !slices.ContainsFunc([]byte(s), isUpper) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if isUpper(c) {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// candidates are the absolute names that a user may mean by name, in the order
// in which they are tried: itself before those with a domain of the search list
// where it has enough dots (RFC 1535 section 6), and behind them otherwise. There
// are none when it is no name.
func (c *Config) candidates(name string) (names []string) {
	itself, ok := absolute(name)
	switch {
	case !ok || isBelow(itself, "onion."): // not to be asked for, RFC 7686 section 2
		return nil
	case strings.HasSuffix(name, "."):
		return []string{itself}
	}
	for _, domain := range c.Search {
		if s, ok := absolute(itself + domain); ok {
			names = append(names, s)
		}
	}
	if strings.Count(name, ".") >= c.Ndots {
		return slices.Insert(names, 0, itself)
	}
	return append(names, itself)
}

// isBelow says whether an absolute name is the absolute domain, or in it.
func isBelow(name, domain string) bool {
	return name == domain || domain == "." || strings.HasSuffix(name, "."+domain)
}

// reverse is the name under which the names of an address are found (RFC 1035
// section 3.5, RFC 3596 section 2.5).
func reverse(a netip.Addr) string {
	var b strings.Builder
	octets := a.Unmap().AsSlice()
	slices.Reverse(octets)
	for _, o := range octets {
		if a.Unmap().Is4() {
			b.WriteString(strconv.Itoa(int(o)) + ".")
			continue
		}
		const hex = "0123456789abcdef"
		b.Write([]byte{hex[o&15], '.', hex[o>>4], '.'})
	}
	if a.Unmap().Is4() {
		return b.String() + "in-addr.arpa."
	}
	return b.String() + "ip6.arpa."
}
