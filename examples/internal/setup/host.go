package setup

import (
	"sync"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
)

// A Host is a stack, its card, and what a program runs on it.
type Host struct {
	*gonet.Stack
	Card link.Link

	programs sync.WaitGroup
}

// Go runs f in a goroutine, which ends when the stack does at the latest.
func (h *Host) Go(f func()) { h.programs.Go(f) }

// Close closes the stack, and waits until all that runs on it has ended.
func (h *Host) Close() {
	h.Stack.Close()
	h.programs.Wait()
}

func newHost(cfg gonet.Config) (*Host, error) {
	stack, err := gonet.New(cfg)
	if err != nil {
		return nil, err
	}
	return &Host{Stack: stack, Card: cfg.Link}, nil
}
