package dns

import "sync/atomic"

// Stats counts what the resolver does. A field named Drop… is a reason for
// which datagrams have been dropped.
type Stats struct {
	Lookups   atomic.Uint64 // that were begun, other than those of Hosts and literal addresses
	CacheHits atomic.Uint64 // questions that the cache answered
	Joined    atomic.Uint64 // questions that were being asked already
	Evicted   atomic.Uint64 // answers that made room in the cache for others

	Queries    atomic.Uint64 // sent by UDP
	QueriesTCP atomic.Uint64 // sent by TCP
	Replies    atomic.Uint64 // that answered a query, whatever they say
	Timeouts   atomic.Uint64 // queries without an answer in time
	SocketErrs atomic.Uint64 // queries that ended with an error of the socket
	Truncated  atomic.Uint64 // replies that were too long for UDP
	Plain      atomic.Uint64 // queries that were repeated without EDNS
	Guessed    atomic.Uint64 // queries that went by TCP because too many forged replies came
	BadReplies atomic.Uint64 // that no use could be made of: SERVFAIL, lame, malformed …

	DropLookup  atomic.Uint64 // lookups for which there was no room
	DropUnasked atomic.Uint64 // replies that do not have the id and the question of the query
}
