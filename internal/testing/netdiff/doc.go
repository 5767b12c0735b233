// Package netdiff holds GoNet's sockets against package net's: it makes the same
// calls on both, and compares what they give, with the whole text of errors,
// their chains and their addresses.
//
// The calls stand in sequences, in a small language (run.go): those of
// testdata/sequences.txt are by hand, thousands more come from a seed
// (generate.go). Package net runs on the kernel's loopback, in a network
// namespace; GoNet on the loopback of a stack, in virtual time.
//
// Differences that are meant stand in one list (differences.go), with the reason
// of each. The page doc/differences.md is made of it:
//
//	go test ./internal/testing/netdiff -update
package netdiff
