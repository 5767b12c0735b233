// Package stack tests whole stacks from outside, by the API that every program has:
// two or three of them in one program, joined by links in memory, most of it in virtual
// time. What a test of the stack has to see inside of stands beside the stack itself;
// what needs the kernel or other programs is in internal/testing/e2e.
//
//	go test ./internal/testing/stack
//	GONET_LONG=1 go test -run TestMixedChurnRealTime ./internal/testing/stack    # many more rounds
//	go test -run '^$' -fuzz FuzzStack ./internal/testing/stack
package stack
