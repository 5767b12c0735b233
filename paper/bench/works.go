package main

import (
	"fmt"
	"slices"

	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// allWorks are all works, in the order in which they are done.
func allWorks(o *options) []work {
	return slices.Concat(bulkWorks(), requestWorks(), connectWorks(), webWorks(), idleWorks(o), deviceWorks(), hopWorks(), layerWorks())
}

// does says which subjects have a service.
func does(serve string) func(subject.Subject) bool {
	return func(s subject.Subject) bool { return hasSockets(s) || slices.Contains(s.Works, serve) }
}

// hasSockets says which subjects are whole stacks with one cable.
func hasSockets(s subject.Subject) bool { return s.Start != nil && s.Cables <= 1 }

func streams(what string, n int) string {
	if n == 1 {
		return what + ", 1 stream"
	}
	return fmt.Sprintf("%s, %d streams", what, n)
}
