package dns

import (
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// records are the records of an answer section that matter for a question, by
// their owners, in lower case.
type records struct {
	aliases map[string]target
	sets    map[string]*recordSet
}

// A target is where an alias leads.
type target struct {
	name string // as it was written
	ttl  uint32
}

// A recordSet is all records of one name and the kind asked for. Its TTL is the
// least of theirs (RFC 2181 section 5.2).
type recordSet struct {
	owner string // as it was written
	addrs []netip.Addr
	names []string
	ttl   uint32
}

// readAnswers reads the answer section. Records that are not of the kind, nor
// aliases, are passed over.
func readAnswers(p *dnsmessage.Parser, kind dnsmessage.Type) (records, error) {
	r := records{map[string]target{}, map[string]*recordSet{}}
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return r, nil
		}
		if err == nil {
			err = r.add(p, h, kind)
		}
		if err != nil {
			return r, err
		}
	}
}

// add takes in the record that h is the header of.
func (r *records) add(p *dnsmessage.Parser, h dnsmessage.ResourceHeader, kind dnsmessage.Type) error {
	if h.Class != dnsmessage.ClassINET || h.Type != kind && h.Type != dnsmessage.TypeCNAME {
		return p.SkipAnswer()
	}
	owner := h.Name.String()
	if h.Type == dnsmessage.TypeCNAME {
		c, err := p.CNAMEResource()
		if _, twice := r.aliases[lower(owner)]; !twice { // there is one at most: RFC 2181 section 10.1
			r.aliases[lower(owner)] = target{c.CNAME.String(), h.TTL}
		}
		return err
	}
	s := r.sets[lower(owner)]
	if s == nil {
		s = &recordSet{owner: owner, ttl: h.TTL}
		r.sets[lower(owner)] = s
	}
	s.ttl = min(s.ttl, h.TTL)
	return s.add(p, h)
}

// add takes in one more record, as long as there is room.
func (s *recordSet) add(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) error {
	if len(s.addrs)+len(s.names) >= maxAddrs {
		return p.SkipAnswer()
	}
	switch h.Type {
	case dnsmessage.TypeA:
		a, err := p.AResource()
		if h.Length != uint16(len(a.A)) {
			return errMalformed
		}
		s.addrs = append(s.addrs, netip.AddrFrom4(a.A))
		return err
	case dnsmessage.TypePTR:
		n, err := p.PTRResource()
		s.names = append(s.names, n.PTR.String())
		return err
	}
	return p.SkipAnswer()
}

// follow is the answer about name: found, or alias when the chain that begins
// there leads out of the records, or noData when there is nothing of it. A chain
// may be in any order.
func (r *records) follow(name string) answer {
	a := answer{status: noData, canonical: name, ttl: seconds(1<<32 - 1)}
	for {
		key := lower(a.canonical)
		if s := r.sets[key]; s != nil {
			a.status, a.canonical, a.addrs, a.names = found, s.owner, s.addrs, s.names
			a.ttl = min(a.ttl, seconds(s.ttl))
			return a
		}
		t, ok := r.aliases[key]
		if !ok {
			return a
		}
		if a.links++; a.links > maxChain {
			return failure(errAliases)
		}
		a.status, a.canonical = alias, t.name
		a.ttl = min(a.ttl, seconds(t.ttl))
	}
}

// bound is ttl between the floor and the ceiling of the config for what a says.
func (a *answer) bound(c *Config) time.Duration {
	switch a.status {
	case failed:
		return failureTTL
	case noData, noName:
		return min(a.ttl, c.MaxNegativeTTL)
	}
	return min(max(a.ttl, c.MinTTL), c.MaxTTL)
}

// failureTTL is for how long a question is not asked again that no server could
// answer: at least a second, by RFC 9520 section 3.2.
const failureTTL = time.Second
