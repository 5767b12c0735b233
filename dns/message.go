package dns

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// udpSize is the longest datagram that a server may answer with (RFC 6891
// section 6.2.3): what passes everywhere without fragments, since of a datagram in
// fragments a forger may replace those without the ports and the id.
const udpSize = 1232

// headerLen is how long the header of a message is (RFC 1035 section 4.1.1).
const headerLen = 12

// Bounds of what is taken from a message.
const (
	maxAddrs = 256 // addresses, or names of an address, that are kept; the others are left out
	maxChain = 16  // aliases, one after another (RFC 1034 section 3.6.2 wants chains followed, and loops found)
)

// A question is a name in its absolute form, in lower case, and what is to be
// known of it. The class is that of the Internet.
type question struct {
	name string
	kind dnsmessage.Type
}

// message is the query of q, with recursion desired, and with EDNS or not.
func (q question) message(id uint16, edns bool) ([]byte, error) {
	name, err := dnsmessage.NewName(q.name)
	if err != nil {
		return nil, err
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	var opt dnsmessage.ResourceHeader
	err = errors.Join(
		b.StartQuestions(),
		b.Question(dnsmessage.Question{Name: name, Type: q.kind, Class: dnsmessage.ClassINET}),
		b.StartAdditionals(),
		opt.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false))
	if edns {
		err = errors.Join(err, b.OPTResource(opt, dnsmessage.OPTResource{}))
	}
	m, finish := b.Finish()
	return m, errors.Join(err, finish)
}

// A status is what a reply means.
type status uint8

const (
	unasked     status = iota // no reply to the query: as if it had never come
	truncated                 // by TCP it would be whole
	unsupported               // the server does not understand the query, perhaps because of EDNS
	failed                    // the reply is of no use, another server may know better
	found                     // there are records
	alias                     // the name is an alias of one that is not in the reply
	noData                    // the name has no records of the kind
	noName                    // the name does not exist
)

// An answer is what is known about a question. It is not changed once it is
// made: many may look at it.
type answer struct {
	status    status
	canonical string       // the name at the end of the chain of aliases, absolute
	links     int          // of that chain
	addrs     []netip.Addr // found: of A records
	names     []string     // found: of PTR records
	ttl       time.Duration
	err       error // failed: why
	server    netip.AddrPort
}

// What is wrong with the replies of a server, in the words of package net.
var (
	errServFail  = errors.New("server misbehaving") // for now: the only one of these that is temporary
	errRefused   = errors.New("server misbehaving")
	errLame      = errors.New("lame referral")
	errMalformed = errors.New("cannot unmarshal DNS message")
	errAliases   = errors.New("too many aliases, or a loop of them")
)

func failure(err error) answer { return answer{status: failed, err: err} }

// read is what msg says about q, which was asked with id. Stream says that it came
// by TCP, where nothing is too long. Until id and question are seen to be right
// (RFC 5452 section 9.1) nothing else is looked at.
func (q question) read(msg []byte, id uint16, stream bool) answer {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.ID != id || !h.Response || h.OpCode != 0 {
		return answer{status: unasked}
	}
	refused := h.RCode == dnsmessage.RCodeFormatError || h.RCode == dnsmessage.RCodeNotImplemented
	if binary.BigEndian.Uint16(msg[4:]) == 0 && refused {
		return answer{status: unsupported} // without the question, that the server did not understand
	}
	if !q.isAskedIn(&p) {
		return answer{status: unasked}
	}
	switch {
	case refused:
		return answer{status: unsupported}
	case h.RCode == dnsmessage.RCodeServerFailure:
		return failure(errServFail)
	case h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError:
		return failure(errRefused)
	case !stream && (h.Truncated || len(msg) > udpSize):
		return answer{status: truncated} // what is there is not to be used: RFC 2181 section 9
	}
	return q.readSections(&p, h)
}

// isAskedIn says whether q is the only question of the message.
func (q question) isAskedIn(p *dnsmessage.Parser) bool {
	asked, err := p.Question()
	if err != nil || lower(asked.Name.String()) != q.name || asked.Type != q.kind || asked.Class != dnsmessage.ClassINET {
		return false
	}
	_, err = p.Question()
	return err == dnsmessage.ErrSectionDone
}

// readSections is what the records say.
func (q question) readSections(p *dnsmessage.Parser, h dnsmessage.Header) answer {
	set, err := readAnswers(p, q.kind)
	if err != nil {
		return failure(errMalformed)
	}
	a := set.follow(q.name)
	if a.status == failed || a.status == found {
		return a // also with NXDOMAIN: whatever it is about
	}
	soa, ttl, referral, err := readAuthorities(p)
	switch {
	case err != nil:
		return failure(errMalformed)
	case extendedRCode(p, h.RCode) > 0xf:
		return answer{status: unsupported} // BADVERS (RFC 6891 section 6.1.3)
	}
	proven := soa != "" && isBelow(lower(a.canonical), soa)
	switch {
	case h.RCode == dnsmessage.RCodeNameError:
		a.status = noName
	case proven:
		a.status = noData
	case a.status == alias:
		return a // to be asked for
	case !h.Authoritative && (referral || !h.RecursionAvailable):
		return failure(errLame) // the server knows of nothing but others: RFC 2308 section 2.2
	default:
		a.status = noData
	}
	if !proven {
		ttl = 0 // not to be kept: RFC 2308 section 5
	}
	a.ttl = min(a.ttl, ttl)
	return a
}

// readAuthorities looks for the SOA record of a negative answer: its owner, and
// for how long the answer holds, which is the lesser of the record's TTL and its
// MINIMUM (RFC 2308 section 5). Referral says whether there are NS records.
func readAuthorities(p *dnsmessage.Parser) (owner string, ttl time.Duration, referral bool, err error) {
	for {
		h, err := p.AuthorityHeader()
		if err == dnsmessage.ErrSectionDone {
			return owner, ttl, referral, nil
		}
		if err != nil {
			return "", 0, false, err
		}
		referral = referral || h.Type == dnsmessage.TypeNS
		if h.Type != dnsmessage.TypeSOA || h.Class != dnsmessage.ClassINET || owner != "" {
			err = p.SkipAuthority()
		} else {
			var soa dnsmessage.SOAResource
			soa, err = p.SOAResource()
			owner, ttl = lower(h.Name.String()), seconds(min(h.TTL, soa.MinTTL))
		}
		if err != nil {
			return "", 0, false, err
		}
	}
}

// extendedRCode is the RCODE with the bits that an OPT record has of it (RFC 6891
// section 6.1.3). The parser is in the additional section, which may be cut short.
func extendedRCode(p *dnsmessage.Parser, rcode dnsmessage.RCode) dnsmessage.RCode {
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			return rcode
		}
		if h.Type == dnsmessage.TypeOPT {
			return h.ExtendedRCode(rcode)
		}
		if p.SkipAdditional() != nil {
			return rcode
		}
	}
}

// seconds is a TTL. One of 2^31 or more is long (RFC 8767 section 4).
func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }
