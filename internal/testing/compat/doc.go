// Package compat has no code of its own: its tests run well-known programs over
// GoNet's sockets, on a tap with the kernel at the other end, or inside a tunnel. It
// is a module of its own, so that nobody else pulls in what it needs, and not in
// go.work, since a workspace loads the requirements of all its modules:
//
//	scripts/test                                       also runs these
//	cd internal/testing/compat && GOWORK=off go test ./...     only these
package compat
