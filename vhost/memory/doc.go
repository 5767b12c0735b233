// Package memory is the memory of a guest as the back end of a device sees it:
// regions that a front end shares by file descriptors (vhost-user, section
// "Memory access"), with the checks that a hostile guest makes necessary.
//
// An address of the guest's is translated once, with its length, by
// [Table.Slice]; what comes back lies within one region whatever the guest does
// later. What the bytes say may change at any time, so whoever decides by them
// reads them once.
//
// A [Table] does not change. Regions are added and removed by making another
// one ([Table.With], [Table.Without]). Who uses a table holds it ([Table.Hold]),
// and the memory is unmapped when the last table with it was released: nobody
// can touch what is no longer mapped.
//
// The front end can make the file of a region shorter, and an access beyond its
// end is then a SIGBUS. Code that touches guest memory runs in [Table.Guard],
// which makes an error of that.
package memory
