package link

import "sync/atomic"

// Stats counts what a link does. A field named Drop… is a reason for which
// frames have been dropped. Middleware counts in the Stats of the link that it
// wraps.
type Stats struct {
	RxFrames, RxBytes atomic.Uint64 // put on Rx by the card
	TxFrames, TxBytes atomic.Uint64 // taken from Tx, and given to the device

	Joined atomic.Uint64 // frames that were received and joined to the one before; see Join

	Duplicated atomic.Uint64 // copies that Impair has made
	Reordered  atomic.Uint64 // frames that Impair has held back
	Marked     atomic.Uint64 // frames that a Manager has marked by ECN
	Corrupted  atomic.Uint64 // frames in which Impair has flipped a bit

	DropRxFull    atomic.Uint64 // received, and nobody took it in time
	DropTxFull    atomic.Uint64 // the device was full
	DropTxError   atomic.Uint64 // the device refused it
	DropTooLong   atomic.Uint64 // longer than the MTU and not a train
	DropMalformed atomic.Uint64 // offload marks that do not fit the frame; see Cut
	DropImpaired  atomic.Uint64 // lost on purpose; see Impair
	DropQueueFull atomic.Uint64 // the queue of Impair was full
	DropManaged   atomic.Uint64 // a Manager wanted the queue of Impair shorter
	DropClosed    atomic.Uint64 // sent after the end of the device

	DropHostFull    atomic.Uint64 // of a tap: the kernel had a frame for us, and no room in its queue; see Link.Refresh
	DropHostRefused atomic.Uint64 // of a tap: the kernel has dropped a frame of ours; see Link.Refresh
}
