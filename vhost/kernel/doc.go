// Package kernel drives devices that the kernel serves: a network card at a tap
// (/dev/vhost-net), sockets towards the host (/dev/vhost-vsock), a SCSI adapter
// before the kernel's target (/dev/vhost-scsi), and devices of vDPA, in hardware or
// in user space (/dev/vhost-vdpa-N).
//
// They are front ends as [vhost.Frontend] is one, with ioctls where that has
// messages (linux/vhost.h): the calls mean the same. The memory of the driver is
// that of this process ([memory.Own]).
//
//	dev, err := kernel.OpenNet()
//	err = dev.Negotiate(virtqueue.Features, virtqueue.FeatureVersion1)
//	err = dev.SetMemory(table)
//	err = dev.StartRing(0, ring)
//	err = dev.SetTap(0, fd)
package kernel
