// Package imagestore keeps disk and CD images in a directory. What a file is follows from
// where it is, so that a power cut at any instant leaves nothing half:
//
//	uploads/    being written: for each a file of data, and a journal of how much of it is durable
//	images/     whole images, in sub-directories as their names say
//	mounted/    what drives hold, and their overlays
//	metadata/   sizes, checksums and types, which can be found out again
//
// An upload is data in uploads/ until it is whole, durable and verified; then one rename
// makes it an image. It can be broken off at any byte and gone on with, also after the
// program or the machine has ended. Zeroes become holes. Files may be put into images/, or
// taken away, by hand at any time, and file systems may be mounted there, which are then
// parts of the store with their own room.
//
// One operation at a time happens to each image; others meanwhile get ErrBusy, from this
// process or, by flock, from another.
package imagestore
