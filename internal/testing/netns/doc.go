// Package netns gives tests Linux network namespaces of their own: interfaces,
// addresses, routes and sysctls that nobody else sees, and that vanish with
// the test. It needs no set-up; and no root, where the system lets users make
// user namespaces.
//
//	func TestMain(m *testing.M) { netns.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		ns := netns.Test(t) // or a skip that says why; a failure in CI
//		netns.NeedTun(t)
//		var card link.Link
//		err := ns.Do(func() (err error) {
//			card, err = tap.Open(tap.Config{HostAddr: netip.MustParsePrefix("10.0.0.1/24")})
//			return err
//		})
//		…
//		c, err := ns.Dial(ctx, "tcp", "10.0.0.2:80") // a socket of the kernel's
//		out, err := ns.Output(exec.CommandContext(ctx, "curl", "http://10.0.0.2/"))
//	}
//
// A thread is in a namespace, and so is all that it makes there: a socket
// stays in the namespace of the thread that made it, whoever uses it later,
// and a process starts in that of the thread that forked it. A goroutine
// started inside [NS.Do] runs on other threads, in the old namespace. So make
// sockets, taps and processes in Do, in the goroutine that called Do, and use
// them anywhere. What package net makes in goroutines of its own (a DNS
// lookup, Happy Eyeballs) is outside: dial literal addresses.
package netns
