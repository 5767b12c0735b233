// Package rootless lets a program that needs a tap run as an ordinary user. It
// runs the program a second time, in a private network namespace where the
// user may make taps, and forwards TCP connections into it: the first process
// listens in the network that everybody sees, and for each connection that
// comes in, the second one makes one of the kernel's in the private network,
// so that every byte crosses the tap and the stack behind it.
//
//	browser ── 127.0.0.1:8080 ═ second process ── kernel ── tap ── stack, 10.0.0.2:80
//	                outside   ║            private network
package rootless

// A Forward is a TCP address to listen on outside, and the address in the
// private network where its connections go.
type Forward struct {
	Listen string // "127.0.0.1:8080"
	To     string // "10.0.0.2:80"
}
