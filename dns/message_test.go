package dns

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var wwwA = question{"www.example.org.", dnsmessage.TypeA}

// TestQueryMessage: RFC1123-6.1.2.2, RFC1123-6.1.2.3: a query is one question, and nothing else
// that is not needed.
func TestQueryMessage(t *testing.T) {
	for _, edns := range []bool{true, false} {
		p, err := wwwA.message(0x1234, edns)
		if err != nil {
			t.Fatal(err)
		}
		var m dnsmessage.Message
		if err := m.Unpack(p); err != nil {
			t.Fatal(err)
		}
		if m.ID != 0x1234 || !m.RecursionDesired || m.Response || len(m.Questions) != 1 || m.Questions[0].Name.String() != wwwA.name {
			t.Errorf("query %+v", m)
		}
		if flags := binary.BigEndian.Uint16(p[2:]); flags != 1<<8 || m.Questions[0].Class != dnsmessage.ClassINET {
			t.Errorf("flags %#x, class %v", flags, m.Questions[0].Class)
		}
		if edns != (len(m.Additionals) == 1) || edns && m.Additionals[0].Header.Class != udpSize {
			t.Errorf("EDNS %v: additionals %+v", edns, m.Additionals)
		}
	}
}

// TestRead: RFC2181-5.2, RFC2181-9, RFC5452-9.1: there is a row for each thing that a
// reply may say.
func TestRead(t *testing.T) {
	const name = "www.example.org."
	end := soa("example.org.", 600, 300)
	for _, c := range []struct {
		what string
		response
		status    status
		ttl       uint32
		canonical string
		addrs     string
		err       error
	}{
		{what: "an address", response: answers(a(name, 60, "192.0.2.1")),
			status: found, ttl: 60, canonical: name, addrs: "[192.0.2.1]"},
		{what: "three, of which the TTL is the least", response: answers(a(name, 60, "192.0.2.1"), a(name, 30, "192.0.2.2"), a(name, 45, "192.0.2.3")),
			status: found, ttl: 30, canonical: name, addrs: "[192.0.2.1 192.0.2.2 192.0.2.3]"},
		{what: "one of another class", response: answers(chaos(a(name, 60, "192.0.2.9")), a(name, 60, "192.0.2.1")),
			status: found, ttl: 60, canonical: name, addrs: "[192.0.2.1]"},
		{what: "two aliases of a name, of which the first counts", response: answers(cname(name, 9, "b."), cname(name, 9, "c."), a("b.", 60, "192.0.2.1"), a("c.", 60, "192.0.2.2")),
			status: found, ttl: 9, canonical: "b.", addrs: "[192.0.2.1]"},
		{what: "the question in another case", response: response{Answers: []dnsmessage.Resource{a(name, 60, "192.0.2.1")}, Change: func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("WWW.example.org.") }},
			status: found, ttl: 60, canonical: name, addrs: "[192.0.2.1]"},
		{what: "another case of letters", response: answers(a("WWW.Example.ORG.", 60, "192.0.2.1")),
			status: found, ttl: 60, canonical: "WWW.Example.ORG.", addrs: "[192.0.2.1]"},
		{what: "a chain", response: answers(cname(name, 9, "Web.example.org."), cname("web.example.org.", 7, "h.example.net."), a("h.example.net.", 8, "192.0.2.1")),
			status: found, ttl: 7, canonical: "h.example.net.", addrs: "[192.0.2.1]"},
		{what: "a chain backwards", response: answers(a("h.example.net.", 8, "192.0.2.1"), cname("web.example.org.", 7, "H.example.net."), cname(name, 9, "web.example.org.")),
			status: found, ttl: 7, canonical: "h.example.net.", addrs: "[192.0.2.1]"},
		{what: "a chain that leads away", response: answers(cname(name, 9, "h.example.net.")),
			status: alias, ttl: 9, canonical: "h.example.net."},
		{what: "a chain to a name of the zone without addresses", response: response{Answers: []dnsmessage.Resource{cname(name, 9, "h.example.org.")}, Authorities: []dnsmessage.Resource{end}},
			status: noData, ttl: 9, canonical: "h.example.org."},
		{what: "a chain to another zone, and the SOA of this one", response: response{Answers: []dnsmessage.Resource{cname(name, 9, "h.example.net.")}, Authorities: []dnsmessage.Resource{end}},
			status: alias, ttl: 9, canonical: "h.example.net."},
		{what: "a chain to a name that does not exist", response: response{RCode: dnsmessage.RCodeNameError, Answers: []dnsmessage.Resource{cname(name, 900, "h.example.org.")}, Authorities: []dnsmessage.Resource{end}},
			status: noName, ttl: 300, canonical: "h.example.org."},
		{what: "an alias of itself", response: answers(cname(name, 9, name)), status: failed, err: errAliases},
		{what: "a loop", response: answers(cname(name, 9, "b."), cname("b.", 9, "c."), cname("c.", 9, "b.")), status: failed, err: errAliases},
		{what: "the longest chain", response: answers(append(chain(name, maxChain), a(link(maxChain), 60, "192.0.2.1"))...),
			status: found, ttl: 60, canonical: link(maxChain), addrs: "[192.0.2.1]"},
		{what: "one longer", response: answers(append(chain(name, maxChain+1), a(link(maxChain+1), 60, "192.0.2.1"))...), status: failed, err: errAliases},
		{what: "addresses of others", response: answers(a("evil.example.", 60, "192.0.2.6"), a(name, 60, "192.0.2.1")),
			status: found, ttl: 60, canonical: name, addrs: "[192.0.2.1]"},
		{what: "TTL 0", response: answers(a(name, 0, "192.0.2.1")), status: found, canonical: name, addrs: "[192.0.2.1]"},
		{what: "TTL 2^31", response: answers(a(name, 1<<31, "192.0.2.1")), status: found, ttl: 1 << 31, canonical: name, addrs: "[192.0.2.1]"},

		{what: "no such name", response: response{RCode: dnsmessage.RCodeNameError, Authorities: []dnsmessage.Resource{end}}, status: noName, ttl: 300, canonical: name},
		{what: "no such name, by the TTL of the SOA", response: response{RCode: dnsmessage.RCodeNameError, Authorities: []dnsmessage.Resource{soa("org.", 20, 300)}}, status: noName, ttl: 20, canonical: name},
		{what: "no such name without SOA", response: response{RCode: dnsmessage.RCodeNameError}, status: noName, canonical: name},
		{what: "no such name with a SOA of elsewhere", response: response{RCode: dnsmessage.RCodeNameError, Authorities: []dnsmessage.Resource{soa("example.net.", 600, 300)}}, status: noName, canonical: name},
		{what: "no addresses", response: response{Authorities: []dnsmessage.Resource{end}}, status: noData, ttl: 300, canonical: name},
		{what: "no addresses, with NS (type 1)", response: response{Authorities: []dnsmessage.Resource{ns("example.org.", "ns."), end}}, status: noData, ttl: 300, canonical: name},
		{what: "no addresses, nothing else (type 3)", response: response{}, status: noData, canonical: name},
		{what: "no addresses by authority", response: response{Authority: true, NoRecursion: true}, status: noData, canonical: name},

		{what: "a referral", response: response{NoRecursion: true, Authorities: []dnsmessage.Resource{ns("org.", "ns.")}}, status: failed, err: errLame},
		{what: "a referral of a server that does recursion", response: response{Authorities: []dnsmessage.Resource{ns("org.", "ns.")}}, status: failed, err: errLame},
		{what: "a referral, with a SOA of elsewhere", response: response{Authorities: []dnsmessage.Resource{ns("org.", "ns."), soa("net.", 60, 60)}}, status: failed, err: errLame},
		{what: "nothing from a server without recursion", response: response{NoRecursion: true}, status: failed, err: errLame},
		{what: "SERVFAIL", response: response{RCode: dnsmessage.RCodeServerFailure}, status: failed, err: errServFail},
		{what: "REFUSED", response: response{RCode: dnsmessage.RCodeRefused}, status: failed, err: errRefused},
		{what: "an RCODE of the future", response: response{RCode: 14}, status: failed, err: errRefused},
		{what: "FORMERR", response: response{RCode: dnsmessage.RCodeFormatError}, status: unsupported},
		{what: "FORMERR without question", response: response{RCode: dnsmessage.RCodeFormatError, Change: func(m *dnsmessage.Message) { m.Questions = nil }}, status: unsupported},
		{what: "NOTIMP", response: response{RCode: dnsmessage.RCodeNotImplemented}, status: unsupported},
		{what: "BADVERS", response: response{Additionals: []dnsmessage.Resource{opt(16)}}, status: unsupported},
		{what: "an OPT that says nothing", response: response{Additionals: []dnsmessage.Resource{a("x.", 1, "192.0.2.9"), opt(0)}, Authorities: []dnsmessage.Resource{end}}, status: noData, ttl: 300, canonical: name},
		{what: "truncated", response: response{Truncated: true, Answers: []dnsmessage.Resource{a(name, 60, "192.0.2.1")}}, status: truncated},
		{what: "longer than was asked for", response: answers(many(name, 100)...), status: truncated},

		{what: "another id", response: response{Change: func(m *dnsmessage.Message) { m.ID++ }}, status: unasked},
		{what: "a query", response: response{Change: func(m *dnsmessage.Message) { m.Response = false }}, status: unasked},
		{what: "an update", response: response{Change: func(m *dnsmessage.Message) { m.OpCode = 5 }}, status: unasked},
		{what: "another name", response: response{Change: func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("w.example.org.") }}, status: unasked},
		{what: "another kind", response: response{Change: func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }}, status: unasked},
		{what: "another class", response: response{Change: func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }}, status: unasked},
		{what: "no question", response: response{Change: func(m *dnsmessage.Message) { m.Questions = nil }}, status: unasked},
		{what: "SERVFAIL without question", response: response{RCode: dnsmessage.RCodeServerFailure, Change: func(m *dnsmessage.Message) { m.Questions = nil }}, status: unasked},
		{what: "two questions", response: response{Change: func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }}, status: unasked},
	} {
		query, err := wwwA.message(7, true)
		if err != nil {
			t.Fatal(err)
		}
		got := wwwA.read(to(t, c.response, query), 7, false)
		if got.status != c.status || got.err != c.err || got.canonical != c.canonical {
			t.Errorf("%s: status %d of %q, error %v; want %d of %q, %v", c.what, got.status, got.canonical, got.err, c.status, c.canonical, c.err)
		}
		if got.ttl != time.Duration(c.ttl)*time.Second || c.addrs != "" && fmt.Sprint(got.addrs) != c.addrs {
			t.Errorf("%s: TTL %v, addresses %v; want %d s, %s", c.what, got.ttl, got.addrs, c.ttl, c.addrs)
		}
	}
}

// chain is n aliases, the first of name, the last of which leads to link(n).
func chain(name string, n int) (rs []dnsmessage.Resource) {
	for i := range n {
		rs = append(rs, cname(name, 60, link(i+1)))
		name = link(i + 1)
	}
	return rs
}

func link(i int) string { return fmt.Sprintf("l%d.example.org.", i) }

func chaos(r dnsmessage.Resource) dnsmessage.Resource {
	r.Header.Class = dnsmessage.ClassCHAOS
	return r
}

// many is n addresses of name.
func many(name string, n int) (rs []dnsmessage.Resource) {
	for i := range n {
		rs = append(rs, a(name, 60, fmt.Sprintf("10.1.%d.%d", i>>8, i&255)))
	}
	return rs
}

// TestReadStream reads what is too long for UDP.
func TestReadStream(t *testing.T) {
	query, _ := wwwA.message(7, true)
	for _, n := range []int{100, maxAddrs, maxAddrs + 1, 3000} {
		got := wwwA.read(to(t, answers(many(wwwA.name, n)...), query), 7, true)
		if got.status != found || len(got.addrs) != min(n, maxAddrs) {
			t.Errorf("%d addresses: status %d, %d of them", n, got.status, len(got.addrs))
		}
	}
}

// TestReadMalformed reads replies with the right question that are broken behind.
func TestReadMalformed(t *testing.T) {
	query, _ := wwwA.message(7, true)
	whole := to(t, answers(cname(wwwA.name, 9, "web.example.org."), a("web.example.org.", 60, "192.0.2.1")), query)
	behind := headerLen + len(wwwA.name) + 1 + 4 // the question
	for n := range len(whole) {
		got := wwwA.read(whole[:n], 7, false)
		want := failed
		if n < behind {
			want = unasked
		}
		if got.status != want {
			t.Errorf("cut after %d bytes of %d: status %d, want %d", n, len(whole), got.status, want)
		}
	}
	// A name that is a pointer to itself, and two that point to each other.
	for _, pointers := range []string{"\xc0\x21", "\xc0\x23\xc0\x21"} {
		m := append(slices.Clone(query[:behind]), pointers...)
		m = append(m, "\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04"...)
		m[2], m[3], m[7], m[11] = 0x80, 0x80, 1, 0
		if behind != 0x21 {
			t.Fatalf("the answer begins at %#x", behind)
		}
		if got := wwwA.read(m, 7, false); got.status != failed || got.err != errMalformed {
			t.Errorf("pointers %q: status %d, error %v", pointers, got.status, got.err)
		}
	}
	// An address of three bytes, and of five.
	for _, length := range []byte{3, 5} {
		m := to(t, answers(a(wwwA.name, 60, "192.0.2.1")), query)
		m = append(m, 0)
		m[len(m)-6] = length
		if got := wwwA.read(m, 7, false); got.status != failed {
			t.Errorf("an address of %d bytes: status %d, addresses %v", length, got.status, got.addrs)
		}
	}
}

func TestPTR(t *testing.T) {
	q := question{reverse(netip.MustParseAddr("192.0.2.1")), dnsmessage.TypePTR}
	query, _ := q.message(7, true)
	got := q.read(to(t, answers(ptr(q.name, 5, "Host.example.org.")), query), 7, false)
	if got.status != found || strings.Join(got.names, " ") != "Host.example.org." {
		t.Errorf("status %d, names %v", got.status, got.names)
	}
}

// FuzzRead reads any bytes behind a header and a question that are right.
func FuzzRead(f *testing.F) {
	query, _ := wwwA.message(7, true)
	for _, r := range []response{
		answers(a(wwwA.name, 60, "192.0.2.1")),
		answers(append(chain(wwwA.name, 3), a(link(3), 60, "192.0.2.1"))...),
		{RCode: dnsmessage.RCodeNameError, Authorities: []dnsmessage.Resource{soa("example.org.", 600, 300)}},
		{Additionals: []dnsmessage.Resource{opt(16)}},
		{Authorities: []dnsmessage.Resource{ns("org.", "ns.")}},
	} {
		f.Add(to(f, r, query), true)
	}
	f.Fuzz(func(t *testing.T, msg []byte, whole bool) {
		if whole && len(msg) >= headerLen+len(wwwA.name)+1+4 {
			copy(msg[:2], query[:2])
			msg[2] = msg[2]&^0x78 | 0x80
			msg[4], msg[5] = 0, 1
			copy(msg[headerLen:], query[headerLen:headerLen+len(wwwA.name)+1+4])
		}
		for _, stream := range []bool{true, false} {
			got := wwwA.read(msg, 7, stream)
			switch {
			case got.status == found && (len(got.addrs) == 0 || len(got.addrs) > maxAddrs):
				t.Errorf("found %d addresses", len(got.addrs))
			case got.status == failed && got.err == nil, got.links > maxChain, got.ttl < 0:
				t.Errorf("answer %+v", got)
			case got.status == truncated && stream:
				t.Error("truncated by TCP")
			case (got.status == alias || got.status == noName || got.status == noData) && got.canonical == "":
				t.Errorf("answer %+v about nothing", got)
			}
			if c := newMachine(Config{}, &Stats{}).cfg; got.status >= failed && got.bound(&c) > defaultMaxTTL {
				t.Errorf("an answer that holds for %v", got.bound(&c))
			}
		}
	})
}
