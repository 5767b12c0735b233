// Package virtqueue is the queues between a driver and a device: split and
// packed (VIRTIO 1.2 sections 2.7 and 2.8), from both sides, without a goroutine,
// a channel or a file descriptor. A [Device] takes what the driver offers, and a
// [Driver] offers; each has one owner.
//
// The memory of a queue is shared with the other side, which may write anything
// there at any time. So a Device reads each descriptor once, checks what it has
// read, and keeps its own indices. A driver that breaks the rules breaks its
// queue, with an error that says which rule: every later call returns it again.
// Nothing it does costs more than one walk of a chain that is bounded.
//
// Calls touch guest memory, and belong into [memory.Table.Guard].
//
// Queues in which the device must keep the order (VIRTIO_F_IN_ORDER) are not
// offered; those of legacy devices, before version 1, neither.
package virtqueue
