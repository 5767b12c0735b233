// Package vhostblk is a disk for virtual machines in user space (vhost-user-blk, of
// the type that VIRTIO 1.2 section 5.2 calls block device), both sides: [Listen]
// serves a [block.Device] to QEMU and others, and [Dial] makes a block.Device of what
// such a back end serves.
//
//	disk, err := block.OpenFile("disk.img", block.FileConfig{ClaimLater: true})
//	backend, err := vhostblk.Listen("/tmp/disk.sock", disk, vhostblk.Config{})
//
//	qemu-system-x86_64 ... -object memory-backend-memfd,id=mem,size=1G,share=on -machine memory-backend=mem \
//		-chardev socket,id=disk,path=/tmp/disk.sock,reconnect=1 -device vhost-user-blk-pci,chardev=disk
//
// A ring has one owner, who takes requests, and puts them back in whatever order they
// are done. What does not wait, such as a read from the page cache, he does himself,
// unless it is long and the next one waits already; the rest is done by a bounded number
// of others, so that slow requests hold up no quick ones, and several processors copy.
//
// Files are read and written in the guest's memory by system calls. All other devices
// get a copy: code that works on memory which a guest changes or takes away meanwhile
// cannot be asked for anything, such as to unlock what it has locked.
//
// A file that was opened with ClaimLater is locked while rings run, and free from
// GET_VRING_BASE on, so that of two back ends each has it in turn when a guest
// migrates. A back end that is killed and started again does again what was in flight
// and not returned, once, where the front end keeps that (INFLIGHT_SHMFD).
package vhostblk
