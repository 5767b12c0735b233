// Package dns is a stub resolver: it asks the servers that its Config names, and
// nobody else. It reads no file of the machine.
//
//	              Call                exchange: one socket, one query
//	Resolver ───────────▶ Run ───────────▶ converse ◀────▶ server
//	(any goroutine)        ▲                  │
//	                       └──── event ◀──────┘
//
// Run owns a machine, which has all of the state: the cache, the questions that
// are being asked, the lookups that wait for them, and what is known of the
// servers. The machine is plain code of the form (now, event) -> state. A lookup
// tries the candidates that the search list makes of a name; each candidate is
// asked of the cache, or by a query; a query goes through the servers until one
// answers, by one exchange at a time.
//
// # RFCs
//
//	1034, 1035  domain names; the resolver of a host (stub)
//	1123        section 6.1: bounded retransmission, soft errors, search lists
//	1535        candidates of a name with dots: the name itself first
//	2181        one TTL a set of records, aliases, a reply comes from where the query went
//	2308        negative answers and how long they hold; 9520: failures, for a second
//	5452        forged replies: a port and an id of its own for each query, one
//	            query at a time for a question, TCP where replies are forged
//	6604        the RCODE of a chain of aliases is that of its end
//	6761, 7686  localhost, invalid, onion
//	6891        EDNS(0), given up for a server that does not understand it
//	7766        TCP after truncation
//	8020        not used: a name that does not exist says nothing of those below it
//	8482        a stub asks for no ANY
//	8767        section 4: TTLs of 2^31 and more are long ones; stale answers are not used
//
// # Limitations
//
// Answers are believed as the server gives them: there is no validation by
// DNSSEC, and no encryption (DNS over TLS or HTTPS), so who is on the path, and
// the server, can say anything. A forger off the path has to guess a port, 15
// bits, and an id, 16 bits. The case of letters in the question is not used for
// more (0x20), since servers that do not keep it would look dead, and there are no
// cookies (RFC 7873). Replies longer than 1232 bytes come by TCP, so that no
// fragment can be replaced; each TCP query takes a connection of its own. The
// servers must do recursion. Addresses are asked for as A records only, as the
// stack has no IPv6: netip.Addr is used throughout, and types in lookup.go is the
// place for AAAA. Names are those of hosts, in ASCII: letters, digits, hyphens and
// underscores; international ones are given in their xn-- form. There is no
// multicast DNS.
package dns
