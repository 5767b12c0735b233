package dns

import (
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxAliases is how many aliases a lookup follows, in one reply or several.
const maxAliases = maxChain

// types are the kinds of records that have the addresses of a host: AAAA belongs
// here once the stack has IPv6, and in recordSet.add.
func types() []dnsmessage.Type { return []dnsmessage.Type{dnsmessage.TypeA} }

// A lookup finds what a user wants to know of a name. It asks for all kinds of
// records of one candidate at a time.
type lookup struct {
	candidates []string // that have not been tried yet
	kinds      []dnsmessage.Type
	branches   []*branch // of the present candidate, one a kind
	pending    int       // branches without an answer
	failure    *answer   // the first of a candidate that could not be asked for
	ended      bool

	result   answer        // once it has ended: found, noName or failed
	answered chan<- answer // what the process tells the user by; the machine leaves it alone
}

// A branch is what a lookup asks for one kind of records, along the aliases.
type branch struct {
	lookup *lookup
	question
	links  int // aliases that were followed
	answer answer
}

// begin takes a lookup of a user's.
func (m *machine) begin(now time.Time, l *lookup) {
	if m.lookups >= m.cfg.MaxLookups {
		m.stats.DropLookup.Add(1)
		l.ended, l.result = true, failure(errTooMany)
		m.out = append(m.out, action{answer: l})
		return
	}
	m.stats.Lookups.Add(1)
	m.lookups++
	m.try(now, l)
}

// cancel forgets a lookup whose user does not wait any more, and the queries that
// were for it alone.
func (m *machine) cancel(l *lookup) {
	if l.ended {
		return
	}
	m.lookups--
	l.ended = true
	for _, b := range l.branches {
		if q := m.queries[b.question]; q != nil {
			q.leave(b)
			if len(q.waiting) == 0 {
				m.hangUp(q)
				delete(m.queries, q.question)
			}
		}
	}
}

// leave takes b from those who wait for q.
func (q *query) leave(b *branch) {
	for i, w := range q.waiting {
		if w == b {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return
		}
	}
}

// try begins with the next candidate.
func (m *machine) try(now time.Time, l *lookup) {
	name := l.candidates[0]
	l.candidates = l.candidates[1:]
	l.branches = nil
	for _, kind := range l.kinds {
		l.branches = append(l.branches, &branch{lookup: l, question: question{name, kind}})
	}
	l.pending = len(l.branches)
	for _, b := range l.branches {
		m.find(now, b)
	}
}

// find has the question of b answered by the cache, by a query that is under way,
// or by a new one. Two queries for one question are never sent at a time: with
// each of them a forger would have another chance (RFC 5452 section 5).
func (m *machine) find(now time.Time, b *branch) {
	if a, ok := m.cache.get(now, b.question); ok {
		m.learn(now, b, a)
		return
	}
	if q := m.queries[b.question]; q != nil {
		m.stats.Joined.Add(1)
		q.waiting = append(q.waiting, b)
		return
	}
	q := &query{question: b.question, waiting: []*branch{b}}
	if len(m.servers) == 0 {
		m.learn(now, b, failure(errNoServers))
		return
	}
	m.queries[q.question] = q
	m.start(now, q)
}

// learn takes the answer to the question of b. An alias is followed.
func (m *machine) learn(now time.Time, b *branch, a answer) {
	b.links += a.links
	switch {
	case b.links > maxAliases:
		a = failure(errAliases)
	case a.status == alias:
		b.name = lower(a.canonical)
		m.find(now, b)
		return
	}
	b.answer = a
	if b.lookup.pending--; b.lookup.pending == 0 {
		m.judge(now, b.lookup)
	}
}

// judge ends the lookup when its candidate has records, or goes on with the next.
// One that servers could not tell of is passed over, as one that does not exist:
// some do not answer for domains of the search list. It is told, if no other is
// found. But when no server has answered at all, none would for the next.
func (m *machine) judge(now time.Time, l *lookup) {
	all := answer{status: noName}
	silent := false
	for _, b := range l.branches {
		a := &b.answer
		switch {
		case a.status == found && all.status != found:
			all = *a
		case a.status == found:
			all.addrs = append(append([]netip.Addr{}, all.addrs...), a.addrs...)
		case a.status == failed && l.failure == nil:
			l.failure = a
		}
		if !all.server.IsValid() {
			all.server = a.server
		}
		silent = silent || a.status == failed && isTimeout(a.err)
	}
	if all.status != found && len(l.candidates) > 0 && !silent {
		m.try(now, l)
		return
	}
	if all.status != found && l.failure != nil {
		all = *l.failure
	}
	m.lookups--
	l.ended, l.result = true, all
	m.out = append(m.out, action{answer: l})
}
