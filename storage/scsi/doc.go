// Package scsi is SCSI devices without a wire: commands go in, status, sense and
// data come out. Transports (iSCSI, USB mass storage) bring the bytes.
//
// The standards are SAM-4 (architecture), SPC-4 (commands of all types), SBC-3
// (disks) and MMC-5 (CD-ROM). Files begin with what their commands are of: spc_,
// sbc_, mmc_, and reserve_ (reservations) and copy_ (third-party copies). A command
// is a row of a table (command.go): its CDB usage map, by which CDBs are checked and
// which REPORT SUPPORTED OPERATION CODES shows, what it asks of the unit, how its
// data are counted, and what it does.
//
// # Objects
//
// A [Unit] is a logical unit over a [block.Disk]. A [Target] has units under numbers,
// and a unit may be in several targets. A [Nexus] is one initiator port at one port
// of a target; what a unit keeps for each nexus (unit attentions, tasks, a
// reservation) goes by it.
//
// # A command's way
//
// The transport has a [Task] for each command that it lets run at once, and uses it
// again for the next:
//
//  1. [Nexus.Begin] takes LUN and CDB, in the order in which commands arrive. It checks
//     all that can be known without data: unit attentions, reservations, fields of the
//     CDB, the range of blocks, the medium. The task is then either done ([Task.Done])
//     with its status, or tells how much data it takes (DataOut) or gives (DataIn).
//     Begin does not wait for devices.
//  2. The transport collects data-out, in buffers of its own, as much as the initiator
//     sends and DataOut asks for.
//  3. [Task.Execute] does the work, with the data and a buffer for data-in. It waits for
//     the device, so a bounded set of workers calls it, for many tasks at once. When
//     [Task.Inline] says so it waits for nothing, and whoever has called Begin may call
//     it at once.
//  4. Status, [Task.Sense], the bytes in the buffer, and Transferred, from which [Residual]
//     computes what the initiator is told, are the answer; if [Task.Aborted] says that
//     there is to be one.
//
// A task that ends without Execute, because its data will not come, ends by
// [Task.Abandon]. Each task that was begun ends in one of the two ways.
//
// # Who owns what
//
// The state of a unit (mode pages, attentions, reservations, tasks, the medium)
// belongs to whoever holds the unit's token, for some steps in which nothing blocks:
// in Begin, at the end of Execute, and in the whole of Execute for commands that only
// read or change state. Work on the device is done without it, with what Begin has
// put into the task. What has to be written to stable storage (saved mode pages,
// registrations that persist) is written after the token was given back, before the
// status is given.
//
// Each task set is that of one I_T nexus (TST is 001b, SPC-4 7.5.8). Commands of one
// set may be reordered without bounds (QUEUE ALGORITHM MODIFIER 1h): a transport that
// takes ORDERED and HEAD OF QUEUE holds tasks back between Begin and Execute until
// those of its own nexus before them have ended. Writes are atomic block by block,
// COMPARE AND WRITE and ORWRITE are atomic as a whole with respect to all others.
//
// # Reservations, copies, CD-ROMs
//
// Reservations go by the names of ports, so persistent ones are still there when a nexus has
// gone and comes again; with APTPL and a [Store] they outlive the process. A third-party copy
// (EXTENDED COPY) is done by a nexus of its own with the name of the one that asks, under
// the same reservations and masks. A CDROM has one track of data; one with more blocks than
// a CD has room for is a DVD.
//
// # Limits
//
// No auto contingent allegiance (NACA), no protection information, no asymmetric
// access, no bidirectional commands and none with CDBs above 16 bytes. No FORMAT UNIT,
// SANITIZE and WRITE ATOMIC. A unit that is stopped stays ready: there is no motor.
package scsi
