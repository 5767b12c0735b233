package dns

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// Bounds of what is remembered of servers, and of what is borne.
const (
	avoidFor  = 30 * time.Second // a server that did not answer is asked last, at most 5 min by RFC 2308 section 7.2
	plainFor  = 10 * time.Minute // a server that did not understand EDNS is asked without
	maxForged = 32               // replies to one query with a wrong id or question, before it goes by TCP
)

// A server is one of the Config's, and what is known of it.
type server struct {
	addr  netip.AddrPort
	avoid time.Time // until then it is asked last
	plain time.Time // until then it is asked without EDNS
}

// A query asks one question: the servers in turn, round by round, until one has
// an answer.
type query struct {
	question
	servers []*server // in the order in which they are asked
	try     int       // of len(servers) in each round
	unable  int       // servers that said in this round that they cannot tell
	forged  int       // replies to the exchange that are none
	current *exchange
	waiting []*branch
	failure answer // why the last try failed
}

// An exchange is a query sent to one server, from a socket of its own. Who runs
// it reports to the machine each message that comes, and the error that ends it.
type exchange struct {
	query   *query
	server  *server
	id      uint16
	stream  bool          // by TCP
	edns    bool          // the message has an OPT record
	message []byte        // without the length that TCP wants
	limit   time.Duration // for how long an answer is waited for
}

// start begins to ask q.
func (m *machine) start(now time.Time, q *query) {
	for _, avoided := range [...]bool{false, true} {
		for _, s := range m.servers {
			if now.Before(s.avoid) == avoided {
				q.servers = append(q.servers, s)
			}
		}
	}
	m.next(now, q)
}

// next asks the server whose turn it is, or gives up: after the last round, or
// after one in which all servers have said that they cannot tell.
func (m *machine) next(now time.Time, q *query) {
	n := len(q.servers)
	if q.try >= n*m.cfg.Attempts || q.unable == n {
		m.finish(now, q, q.failure)
		return
	}
	if q.try%n == 0 {
		q.unable = 0
	}
	m.ask(now, q, q.servers[q.try%n], m.cfg.TCP)
}

// ask begins an exchange, in place of the one before.
func (m *machine) ask(now time.Time, q *query, s *server, stream bool) {
	m.hangUp(q)
	x := &exchange{query: q, server: s, stream: stream, id: uint16(m.cfg.Random()), edns: !now.Before(s.plain)}
	x.limit = m.cfg.Timeout
	for range q.try / len(q.servers) {
		x.limit = min(2*x.limit, max(maxTimeout, m.cfg.Timeout))
	}
	var err error
	if x.message, err = q.message(x.id, x.edns); err != nil { // no name that absolute lets pass
		m.finish(now, q, failure(errMalformed))
		return
	}
	count := &m.stats.Queries
	if stream {
		count = &m.stats.QueriesTCP
	}
	count.Add(1)
	q.current, q.forged = x, 0
	m.out = append(m.out, action{open: x})
}

// hangUp ends the exchange of q, if there is one.
func (m *machine) hangUp(q *query) {
	if q.current != nil {
		m.out = append(m.out, action{close: q.current})
		q.current = nil
	}
}

// received takes a message that came by x.
func (m *machine) received(now time.Time, x *exchange, msg []byte) {
	q := x.query
	if q.current != x {
		return
	}
	a := q.read(msg, x.id, x.stream)
	a.server = x.server.addr
	if a.status == unasked {
		m.stats.DropUnasked.Add(1)
		if q.forged++; q.forged == maxForged && !x.stream { // RFC 5452 section 9.3
			m.stats.Guessed.Add(1)
			m.ask(now, q, x.server, true)
		}
		return
	}
	m.stats.Replies.Add(1)
	x.server.avoid = time.Time{}
	switch a.status {
	case truncated:
		m.stats.Truncated.Add(1)
		m.ask(now, q, x.server, true)
	case unsupported:
		if x.edns { // RFC 6891 section 6.2.2
			m.stats.Plain.Add(1)
			x.server.plain = now.Add(plainFor)
			m.ask(now, q, x.server, x.stream)
			return
		}
		a.status, a.err = failed, errRefused
		fallthrough
	case failed:
		m.stats.BadReplies.Add(1)
		q.failure = a
		q.unable++
		q.try++
		m.next(now, q)
	default:
		m.finish(now, q, a)
	}
}

// failed takes the news that x has ended without an answer.
func (m *machine) failed(now time.Time, x *exchange, err error) {
	q := x.query
	if q.current != x {
		return
	}
	q.current = nil
	count := &m.stats.SocketErrs
	if isTimeout(err) {
		count = &m.stats.Timeouts
	}
	count.Add(1)
	x.server.avoid = now.Add(avoidFor)
	q.failure = answer{status: failed, err: err, server: x.server.addr}
	q.try++
	m.next(now, q)
}

// isTimeout says whether err is of a deadline.
func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// finish ends q with an answer for all who wait.
func (m *machine) finish(now time.Time, q *query, a answer) {
	m.hangUp(q)
	delete(m.queries, q.question)
	m.cache.put(now, q.question, a, a.bound(&m.cfg))
	for _, b := range q.waiting {
		m.learn(now, b, a)
	}
}
