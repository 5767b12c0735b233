package tcp

import "github.com/seed-012105e5/gonet/tcp/machine"

// maxTransfers bounds the free list of transfer states.
const maxTransfers = 64

// A transferPool is the free list of transfer states of a stack. Whoever has the
// state of a connection takes one and puts one back, and waits for nobody.
type transferPool chan *machine.Transfer

func newTransferPool() transferPool { return make(chan *machine.Transfer, maxTransfers) }

func (p transferPool) Take() *machine.Transfer {
	select {
	case a := <-p:
		return a
	default:
		return new(machine.Transfer)
	}
}

func (p transferPool) Put(a *machine.Transfer) {
	select {
	case p <- a.Reset():
	default:
	}
}
