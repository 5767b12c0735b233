// Package drive has virtual drives: one puts an image into a drive, and machines see a
// medium, by NBD, by iSCSI, or by another [Backend].
//
// A [Drive] selects an image of a store ([imagestore.Store]), or a remote one by its URL,
// while it is disconnected; Connect shows it to machines, Disconnect takes it away, and a
// machine may eject it. The life of a drive is a pure machine (machine.go) that one
// goroutine owns (owner.go); the calls of a backend happen one at a time beside it. What a
// drive holds is noted in the store before machines see it, so that a drive of the same
// name shows it again after a crash.
package drive
