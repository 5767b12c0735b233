// Package red decides by chance, as random early detection does (RFC 2309), who
// finds no room in what several peers share.
package red

// Full says whether what has room for limit things, of which there are n, takes no
// other one. In the last quarter chance decides, which turns against it bit by bit.
// At a sharp edge a peer would see, by whether there is room for something of its
// own, whether something that it has forged in the name of another was taken; here
// that changes its chance by one part in a quarter of limit. Random returns 64
// random bits.
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
