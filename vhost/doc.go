// Package vhost has devices for virtual machines in user space: the vhost-user
// protocol from both sides. The back end is the device; the front end is the
// virtual machine, or whoever else drives the device.
//
// A device is one [Device]: its features, its configuration space, and how it
// serves a ring. What the protocol, the rings, the guest's memory, a guest that
// reboots, migrates or is hostile, and a front end that goes and comes again ask
// for is done around it. Each ring is served by one goroutine, which owns it.
//
// [Setup] has a front end go over from a back end that has ended to the next one. A
// guest that moves here by postcopy is served before its memory has come, where this
// process may have a userfaultfd: otherwise that is not offered. Of the messages those
// about IOTLB, another byte order, crypto sessions, displays, kicks and calls in band,
// shared objects, shared memory and the state of a device have a codec and nothing
// more: a back end refuses them by name, with [ErrUnsupported].
//
// Devices that the kernel serves have front ends in package kernel.
//
// Sections are those of the specification "Vhost-user Protocol" of QEMU, and of
// Virtual I/O Device (VIRTIO) 1.2.
package vhost
