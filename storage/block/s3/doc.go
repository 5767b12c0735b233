// Package s3 is a disk in a bucket of an S3 server, for disks that outgrow one machine.
//
//	journal, err := block.OpenFile("disk.journal", block.FileConfig{Create: true, Size: 256 << 20})
//	d, err := s3.Open(ctx, s3.Config{
//		Endpoint: "https://s3.example.org", Bucket: "disks", Name: "vm1",
//		Create: true, Size: 1 << 40, Journal: journal,
//	})
//
// # What is in the bucket
//
// The disk is cut into chunks, of 4 MB unless it was made with others. Each is an
// object, NAME/c/CHUNK-EPOCH-SEQUENCE; a chunk of zeroes only has none, and is a hole.
// No object is ever written again: a chunk that changes gets a new one. Pages of an
// index, NAME/p/..., say which object each of 4096 chunks has, with its checksum, and
// NAME/manifest, which is JSON, says which objects are the pages.
//
// Changes come to the bucket in checkpoints. A checkpoint is the disk at one instant:
// the chunks that have changed are uploaded, some at a time, then the pages that name
// them, and at last the manifest is replaced, on the condition that it is still the
// one that this writer put there. So what the bucket has is always the whole disk as
// it was at one instant, whatever fails when, and never a mixture of old and new. What
// nothing names any more is deleted after that. A checkpoint costs one object for each
// chunk that has changed, one of 48 KB for each 16 GB of the disk in which some has,
// and one for the manifest.
//
// # What is durable
//
// With a journal, which is a file or another device near the machine, Sync and FUA
// return when the journal has the changes. They are there after kill -9 and after a
// power cut, and come to the bucket when the disk is opened again with its journal.
// Where the server fails, calls go on: reads of what is in memory, and writes until
// memory or the journal is full; then they wait. Without a journal Sync is a
// checkpoint, and waits for the server.
//
// Who loses the journal has the disk of the last checkpoint: all that was written up
// to an instant, and nothing later, which is at most Config.UploadAfter before the
// end, and the time that an upload takes, if the server answered. Flushes that were
// acknowledged after that instant are lost. Such a disk is opened only by who says so,
// with Config.TakeOver.
//
// # One writer
//
// A writer has a lease: it replaces the manifest every third of Config.Lease. A second
// one is refused with [ErrHeld] until the lease has run out by the server's clock, and
// also after that, with [ErrNotClosed], unless it brings the journal, or there was
// none. The lease only says whether the writer seems to live. What protects the disk
// is that manifests are replaced on condition: a writer that was taken over, however
// late its requests arrive, replaces nothing, and deletes nothing that is named. At
// its next attempt it learns of it, and all its calls fail with [ErrLost]. The server
// must keep conditions (If-Match, If-None-Match of PutObject), as Amazon's does since
// the end of 2024.
//
// Any number may open the disk for reading only. They see it as it was published last;
// when a writer has replaced a chunk since, reads of it fail with [ErrChanged].
//
// # Limits
//
// A disk has at most 2^26 chunks, 256 TB of 4 MB each. The index is in memory, 12 bytes
// a chunk, and the cache is as large as it is configured. A write to part of a chunk
// that is not in memory makes the chunk be read before it is uploaded, and the whole
// chunk is uploaded then: smaller chunks suit disks of many small writes.
//
// The client is minio-go: one module for all that is needed here, which takes any
// http.RoundTripper, makes conditional requests, and leaves retries to its user.
package s3
