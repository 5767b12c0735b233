// Package vnet is the network card of a virtual machine as a link: what the guest
// sends arrives on it, and what is sent on it the guest receives. It is a device of
// virtio-net (VIRTIO 1.2 section 5.1) that the virtual machine reaches over
// vhost-user, so it needs no tap and no root.
//
// Each byte is copied once on its way, between the guest's memory and a
// packet.Buffer. Trains of TCP segments and partial checksums cross as they are,
// both ways, if the guest's driver can do that; otherwise they are cut and
// completed here.
package vnet
