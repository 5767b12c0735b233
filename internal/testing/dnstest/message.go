// Package dnstest is a DNS server for tests, which says what a test wants said.
package dnstest

import (
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// A Response is what a server says. The zero value is an empty answer of a server
// that does recursion.
type Response struct {
	RCode       dnsmessage.RCode
	Truncated   bool
	Authority   bool // AA
	NoRecursion bool // not RA
	Answers     []dnsmessage.Resource
	Authorities []dnsmessage.Resource
	Additionals []dnsmessage.Resource
	Change      func(*dnsmessage.Message) // nil: nothing else
}

// Answers is a response of records.
func Answers(rs ...dnsmessage.Resource) Response { return Response{Answers: rs} }

// To is the message that answers query so.
func (r Response) To(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.RCode, m.Truncated, m.Authoritative, m.RecursionAvailable = true, r.RCode, r.Truncated, r.Authority, !r.NoRecursion
	m.Answers, m.Authorities, m.Additionals = r.Answers, r.Authorities, r.Additionals
	if r.Change != nil {
		r.Change(&m)
	}
	return m.Pack()
}

func header(name string, kind dnsmessage.Type, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET, TTL: ttl}
}

// A is an address of a name.
func A(name string, ttl uint32, addr string) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: header(name, dnsmessage.TypeA, ttl),
		Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
	}
}

// CNAME is an alias.
func CNAME(name string, ttl uint32, to string) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: header(name, dnsmessage.TypeCNAME, ttl),
		Body:   &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)},
	}
}

// PTR is a name of an address.
func PTR(name string, ttl uint32, to string) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: header(name, dnsmessage.TypePTR, ttl),
		Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(to)},
	}
}

// NS is a server of a domain.
func NS(name, to string) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: header(name, dnsmessage.TypeNS, 60),
		Body:   &dnsmessage.NSResource{NS: dnsmessage.MustNewName(to)},
	}
}

// SOA is the record that a negative answer has.
func SOA(name string, ttl, minimum uint32) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: header(name, dnsmessage.TypeSOA, ttl),
		Body: &dnsmessage.SOAResource{
			NS: dnsmessage.MustNewName("ns." + name), MBox: dnsmessage.MustNewName("root." + name), MinTTL: minimum,
		},
	}
}

// OPT has the upper bits of an RCODE.
func OPT(rcode dnsmessage.RCode) dnsmessage.Resource {
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(4096, rcode, false); err != nil {
		panic(err)
	}
	return dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}}
}
