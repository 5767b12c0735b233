// Package goroutines counts goroutines, for tests that look for those left behind.
//
// [runtime.NumGoroutine] is no use for that: it may count one of the runtime's own
// for seconds, which no stack trace shows, and in a bubble of testing/synctest it
// counts those outside too.
package goroutines

import (
	"regexp"
	"runtime"
	"strings"
)

var bubble = regexp.MustCompile(`^goroutine \d+ \[.*(synctest bubble \d+)`)

// Running returns the stack trace of each goroutine that there is: of those in the
// caller's bubble, if it is in one. The caller's is the first.
func Running() []string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	all := strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
	own := bubble.FindStringSubmatch(all[0])
	if own == nil {
		return all
	}
	var inside []string
	for _, stack := range all {
		if m := bubble.FindStringSubmatch(stack); m != nil && m[1] == own[1] {
			inside = append(inside, stack)
		}
	}
	return inside
}

// Count is how many Running returns.
func Count() int { return len(Running()) }
