package tap

import (
	"sync"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A fan is the queues of a card that has several. While no flow carries much it
// is folded: the first queue serves all flows, since serving small frames by several
// goroutines costs more than it gains. It unfolds for flows that carry long trains,
// in either direction. Each of them gets one of the other queues, in turn; the kernel
// follows, since it sends the frames of a flow by the queue on which ours arrive.
// When no long train has passed for a while it is folded again.
//
// A flow keeps its queue until then, and the fan is folded when all has been
// written, so that no frame that leaves overtakes another of its flow. Those that
// arrive may: the queue that a flow has left is still read when the next one is.
type fan struct {
	first   *queue
	rest    []*queue
	edges   []chan *packet.Buffer // to the writers of the rest; nil when folded
	writers sync.WaitGroup
	table   [entries]byte // of each entry: 0 for the first queue, or 1 + the index in rest
	next    int           // index in rest, for the next flow
	quiet   int           // frames that have left since the last long train
	stuck   bool          // the kernel does not let us unfold it
}

// longTrain is the length of a frame, in bytes, by which a flow shows that it
// carries much.
const longTrain = 32 << 10

// patience is how many frames leave without a long train before a fan is folded.
const patience = 4096

// spread brings the frames of tx to the device: by the first queue itself, by the
// others with a writer for each.
//
// Owns: which queue a flow has, and the frames that it has taken together.
// Reads: tx, bulk.
// Writes: the device; a channel for each writer, closed at the end.
// Blocks on: tx, and on a writer, who always drains; to fold the fan, until all have.
func (c *card) spread(tx <-chan *packet.Buffer) {
	f := fan{first: c.queues[0], rest: c.queues[1:]}
	var batch [link.QueueLen]*packet.Buffer
	for b := range tx {
		for len(c.bulk) > 0 { // nobody else takes from it
			f.carriesMuch(<-c.bulk)
		}
		batch[0] = b
		for _, b := range batch[:1+takeBatch(tx, batch[1:])] {
			f.send(b)
		}
	}
	f.fold()
}

// send has b written by the queue of its flow.
func (f *fan) send(b *packet.Buffer) {
	entry := entryOf(b.Bytes(), f.first.header)
	if b.Len() >= longTrain {
		f.carriesMuch(entry)
	} else if f.quiet++; f.quiet == patience {
		f.fold()
	}
	if i := f.table[entry]; i > 0 {
		f.edges[i-1] <- b
	} else {
		f.first.send(b)
	}
}

// carriesMuch notes a long train of a flow.
func (f *fan) carriesMuch(entry byte) {
	f.quiet = 0
	if f.edges == nil && !f.stuck {
		f.unfold()
	}
	if f.edges != nil && f.table[entry] == 0 {
		f.table[entry] = byte(1 + f.next)
		f.next = (f.next + 1) % len(f.rest)
	}
}

func (f *fan) unfold() {
	for _, q := range f.rest {
		if q.file.attach(true) != nil {
			f.stuck = true
			return
		}
	}
	for _, q := range f.rest {
		edge := make(chan *packet.Buffer, link.QueueLen)
		f.edges = append(f.edges, edge)
		f.writers.Go(func() { q.write(edge) })
	}
}

func (f *fan) fold() {
	for _, edge := range f.edges {
		close(edge)
	}
	f.writers.Wait()
	if f.edges != nil {
		for _, q := range f.rest {
			_ = q.file.attach(false) // if it fails, frames go on coming this way
		}
	}
	f.edges, f.table = nil, [entries]byte{}
}

// tellBulk reports a long train to the goroutine that spreads the flows. With one queue
// there is none; and when it is busy the next train of the flow reports it again.
func (c *card) tellBulk(b *packet.Buffer) {
	if b.Len() < longTrain {
		return
	}
	select {
	case c.bulk <- entryOf(b.Bytes(), c.header):
	default:
	}
}
