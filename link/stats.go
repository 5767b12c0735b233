package link

import "sync/atomic"

// Stats counts what a link does. A field named Drop… is a reason for which
// frames have been dropped.
type Stats struct {
	RxFrames, RxBytes atomic.Uint64
	TxFrames, TxBytes atomic.Uint64

	DropRxFull   atomic.Uint64 // received, and nobody took it in time
	DropTxFull   atomic.Uint64 // the device was full
	DropTxError  atomic.Uint64 // the device refused it
	DropTooLong  atomic.Uint64 // longer than the MTU and not a train
	DropImpaired atomic.Uint64 // lost on purpose; see Impair
	DropClosed   atomic.Uint64 // sent after the end of the device
}
