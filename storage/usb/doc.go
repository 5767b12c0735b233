// Package usb is a USB mass-storage device without a bus: transfers of a host go in,
// answers come out. Transports bring them: package usbip over TCP to Linux's vhci-hcd,
// package usbredir to virtual machines of QEMU. Package gadget is another thing: it has
// the kernel be the device.
//
// The standards are USB 2.0 chapter 9 and what USB 3.2 adds to it, Mass Storage Class
// Bulk-Only Transport 1.0 (BOT), and USB Attached SCSI, INCITS 471-2010 (UAS). The
// commands are those of package scsi.
//
//	units := scsi.NewTarget()
//	units.Add(0, unit)                                      // a scsi.Unit, a disk or a CD-ROM
//	device, err := usb.NewDevice(usb.Config{Units: units})
//	var server usbip.Server
//	server.Add("1-1", device)
//	err = server.Serve(listener)
//
// # A device
//
// It has one configuration with one interface: alternate setting 0 is Bulk-Only
// Transport, setting 1 is UAS, with streams at SuperSpeed. The host chooses. Linux takes
// UAS where its host controller lets it: over USB/IP at high speed, since vhci-hcd has no
// streams.
//
// The command sets know nothing of USB: media come and go by [scsi.Unit.Insert] and
// Eject, and hosts learn of it by unit attentions. A host reads the type of a unit when
// it finds the device, so a disk that becomes a CD-ROM is unplugged and plugged in.
//
// # Who owns what
//
// [Device.Attach] begins a session with one host, in which one goroutine owns the
// function: a machine of pure code (function.go; control.go is chapter 9, bot.go and
// uas.go are the transports). It takes transfers and executed commands, and gives answers
// and commands to execute, and never waits. Some goroutines execute commands, since that
// waits for the disk. All queues are bounded: transfers that wait at endpoints, commands,
// their memory, answers that the transport does not take; the host is told
// [StatusTooMuch], or made to wait.
//
// # Bulk-Only Transport
//
// The thirteen cases are in bot.go. What makes data short is filled up with zeroes, or
// ends by a STALL if [Config.Stall] says so; both are allowed (BOT 6.7.2). Sense data of a
// command that has failed are kept for the REQUEST SENSE that follows, for each unit. A
// CBW that is not valid halts both endpoints until a reset recovery.
//
// # UAS
//
// 32 tasks are under way at once. ORDERED tasks wait for those before them and hold those
// behind them, HEAD OF QUEUE is taken as SIMPLE, as the task sets of package scsi allow.
// Task management is there but for CLEAR ACA and QUERY ASYNCHRONOUS EVENT.
//
// # Limits
//
// No CBI, no low speed, no SuperSpeedPlus, no suspend, no remote wakeup. A transfer from
// the host has at most 16 MB. Units above number 15 are not seen.
package usb
