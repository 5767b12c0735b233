// Package admin manages the targets of an iscsi.Server while it runs: which there are,
// the units that they have and the disks behind those, and who uses them. [Manager]
// does it in the process of the server; [Handler] offers the same over HTTP, and
// [Client] calls that from another process. Manager and Client are both a [Control].
//
// # Calls
//
// Bodies are JSON, of at most 1 MiB. {name} is the name of a target, {lun} the number of
// a unit.
//
//	GET    /targets                    what there is: a list of Target, without secrets
//	POST   /targets                    makes a target: a Target
//	DELETE /targets/{name}             takes it away, with its units
//	PUT    /targets/{name}/luns/{lun}  adds a unit: a LUN
//	DELETE /targets/{name}/luns/{lun}  takes it away
//	GET    /sessions                   who is logged in: a list of Session
//	GET    /stats                      the counters of the server
//	POST   /reload                     reads the configuration file again
//
// An answer that is no result is {"error": "..."}, with one of these codes: 404 if there
// is no such target or unit, 409 if there is one already, 403 for what a web page of
// somebody else's has asked for, 400 for all else.
//
// Whoever may call opens disks with the rights of the server, any file among them. So
// [Listen] makes a socket that only the user himself can open. There is no login: who
// serves a Handler at a TCP address trusts all who reach that.
//
// # Units
//
// A unit is a disk as package spec opens it, with more options:
//
//	type=cdrom       a CD-ROM; type=disk is the default
//	blocksize=SIZE   bytes of a logical block; 512, of a CD-ROM 2048
//	removable        the medium can be ejected
//	writethrough     a write is durable when it has ended
//	serial=TEXT      the serial number; by default made of the names of target and unit
//	state=FILE       keeps saved mode pages and persistent reservations
package admin
