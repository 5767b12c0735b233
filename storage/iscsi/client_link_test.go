package iscsi

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// Whoever hears that a link is lost finds it over, and waits for another one instead of
// trying the same again.
func TestLostLinkIsOver(t *testing.T) {
	for range 300 {
		near, far := net.Pipe()
		l := &loginInitiator{negotiation: newNegotiation(initialValues())}
		k := newLink(near, bufio.NewReader(near), l, &buffers.Pool{}, 128, nil)
		var users sync.WaitGroup
		for range 3 {
			users.Go(func() {
				for {
					c := &call{header: newHeader(opNopOut, flagFinal, 0), unordered: true, done: make(chan struct{})}
					if err := k.submit(context.Background(), c); err != nil {
						if !errors.Is(err, errLost) || !k.over() {
							t.Errorf("over: %v; %v", k.over(), err)
						}
						return
					}
				}
			})
		}
		far.Close()
		users.Wait()
		if t.Failed() {
			return
		}
	}
}
