// Package e2e has the tests of the whole stack, on a tap, against programs
// that nobody here has written: the kernel's TCP/IP, curl, wrk, ping,
// traceroute, Python's http.server, unbound, dnsmasq and Chromium.
//
// Each test makes a network namespace of its own with a tap in it. The kernel
// has 10.0.0.1 there and the stack, in the process of the test, 10.0.0.2; no
// traffic leaves the namespace. What passes between them is captured, and at
// the end tshark reads the capture and must find nothing wrong in it.
//
//	go test ./internal/testing/e2e                 # under a minute
//	go test -race -short ./internal/testing/e2e
//	GONET_LONG=1 go test ./internal/testing/e2e    # every cell of the matrix, 100 MB, 10 s of wrk
//	go test -run Browser -update ./internal/testing/e2e
//
// The last one writes doc/screenshot.png anew. A program that is missing skips
// the tests that need it, and says so; with CI=true in the environment it
// fails them. On Debian: apt install tshark curl wrk iputils-ping traceroute
// python3 chromium unbound dnsmasq-base.
package e2e
