// Package red drops at random, as random early detection does (RFC 2309), before a
// resource that several peers share is full.
package red

// Full says whether a resource for limit items, of which n are in use, refuses another
// one. In the last quarter it refuses at random, with a probability that grows from 0
// to 1. With a sharp limit a peer could tell, by whether its own item was accepted,
// whether one that it forged in the name of another was; here that changes the
// probability by one part in a quarter of limit only. Random returns 64 random bits.
func Full(n, limit int, random func() uint64) bool {
	spread := limit / 4
	beyond := n - (limit - spread)
	switch {
	case beyond < 0:
		return false
	case beyond >= spread:
		return true
	}
	return int(random()%uint64(spread)) < beyond
}
