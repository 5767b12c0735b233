package s3

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A checkpoint brings the disk, as it was at one instant, to the bucket: first the
// chunks that have changed, under new names, then the pages of the index that name
// them, and at last the manifest that names these. Whoever reads the manifest has
// either all of it or what there was before. What it replaces is deleted after that.
//
// It uploads nothing that was written after its instant, and there is one at a time.
type checkpoint struct {
	number  uint64 // of the last record that is in it
	size    int64
	floor   uint32
	chunks  []*chunk
	left    int // chunks, or pages, that are not there yet
	phase   phase
	pages   map[int64]version
	garbage []string
}

type phase int

const (
	phaseChunks phase = iota
	phasePages
	phaseManifest
)

// advance starts what is due.
func (o *owner) advance(now time.Time) {
	if o.ended != nil {
		return
	}
	o.fetches.expire(now)
	o.changes.expire(now)
	o.retryWaiting()
	if o.config.ReadOnly {
		return
	}
	if o.checkpoint == nil && o.isDue(now) {
		o.freeze()
	}
	o.removeGarbage()
	switch {
	case o.swap != nil:
	case o.checkpoint != nil && o.checkpoint.phase == phaseManifest:
		o.replaceManifest(o.checkpoint.manifest(o.manifest), o.checkpoint)
	case o.checkpoint == nil && o.canClose():
		m := o.manifest
		m.Owner, m.Sweep = "", o.unswept || o.sweeping
		o.replaceManifest(m, nil)
	case !o.renewAt.IsZero() && !o.renewAt.After(now):
		o.replaceManifest(o.manifest, nil)
	}
}

// isDue says whether a checkpoint should begin.
func (o *owner) isDue(now time.Time) bool {
	if o.number <= o.manifest.Applied || o.replaying && len(o.writes) == 0 {
		return false
	}
	full := o.journal != nil && !o.replaying && o.at-o.journal.layout.start(o.area) > o.journal.layout.area/2
	due := o.uploadAt()
	return o.want > o.manifest.Applied || len(o.writes) > 0 || full ||
		o.cache.held >= max(1, o.cache.mostHeld/2) || !due.IsZero() && !due.After(now)
}

// retryWaiting lets those go on who waited for room.
func (o *owner) retryWaiting() {
	reads := o.reads
	o.reads = nil
	for _, r := range reads {
		o.read(r) // which puts it back if there is still none
	}
	for len(o.writes) > 0 && o.change(o.writes[0]) {
		o.writes = o.writes[1:]
	}
}

// freeze begins a checkpoint of all that there is now.
func (o *owner) freeze() {
	o.changedAt = time.Time{}
	c := &checkpoint{number: o.number, size: o.size, floor: o.floor, chunks: o.cache.freeze()}
	o.checkpoint = c
	if o.journal != nil && !o.replaying {
		o.area = 1 - o.area
		o.at = o.journal.layout.start(o.area)
	}
	c.left = len(c.chunks)
	for _, chunk := range c.chunks {
		switch {
		case chunk.frozen.data == nil:
			o.named(chunk.number, entry{})
		case chunk.frozen.full:
			o.uploadFrozen(chunk)
		default:
			o.fetch(chunk.number) // what of it was not written
		}
	}
	o.tell()
	o.endPhase()
}

// uploadFrozen sends what is frozen of the chunk.
func (o *owner) uploadFrozen(c *chunk) {
	o.changes.add(&job{
		kind: jobChunk, number: c.number, data: c.frozen.data,
		entry: entry{version: o.newVersion()}, began: time.Now(),
	})
}

// newVersion names a new object.
func (o *owner) newVersion() version {
	o.sequence++
	return version{o.manifest.Epoch, o.sequence}
}

// putChunk notes that a chunk is in the bucket.
func (o *owner) putChunk(j *job) {
	if j.entry != (entry{}) {
		o.stats.Uploaded++
	}
	o.named(j.number, j.entry)
	o.tell()
	o.endPhase()
}

// named has the index name the new object of the chunk.
func (o *owner) named(number int64, e entry) {
	if old := o.index.set(number, e); old != (entry{}) {
		o.checkpoint.garbage = append(o.checkpoint.garbage, chunkKey(o.config.Name, number, old.version))
	}
	o.checkpoint.left--
}

// tell tells those who wait for an upload how far it is.
func (o *owner) tell() {
	for _, r := range o.uploads {
		if r.progress == nil {
			continue
		}
		total := int64(len(o.checkpoint.chunks))
		select {
		case <-r.progress: // an older one that was not looked at
		default:
		}
		r.progress <- [2]int64{(total - int64(o.checkpoint.left)) * o.chunk(), total * o.chunk()}
	}
}

// endPhase goes on with the pages when all chunks are there, and with the manifest
// when all pages are.
func (o *owner) endPhase() {
	c := o.checkpoint
	if c.left > 0 {
		return
	}
	if c.phase == phaseChunks {
		c.phase = phasePages
		o.putPages()
	}
	if c.phase == phasePages && c.left == 0 {
		c.phase = phaseManifest // advance does the rest
	}
}

// putPages uploads the pages that have changed.
func (o *owner) putPages() {
	c := o.checkpoint
	c.pages = maps.Clone(o.manifest.Pages)
	if c.pages == nil {
		c.pages = map[int64]version{}
	}
	for n, p := range o.index.pages {
		if !p.changed {
			continue
		}
		if p.object != (version{}) {
			c.garbage = append(c.garbage, pageKey(o.config.Name, n, p.object))
		}
		p.changed, p.object = false, version{}
		if p.used == 0 {
			delete(o.index.pages, n)
			delete(c.pages, n)
			continue
		}
		p.object = o.newVersion()
		c.pages[n] = p.object
		c.left++
		o.changes.add(&job{kind: jobPage, number: n, entry: entry{version: p.object}, data: p.encode(n), began: time.Now()})
	}
}

// putPage notes that a page is in the bucket.
func (o *owner) putPage(*job) {
	o.checkpoint.left--
	o.endPhase()
}

// manifest is the one that publishes the checkpoint.
func (c *checkpoint) manifest(m manifest) manifest {
	m.Size, m.Applied, m.Floor, m.Pages = c.size, max(c.number, m.Applied), c.floor, c.pages
	return m
}

// replaceManifest begins to replace the manifest, which nobody else may have done
// since, by one that publishes a checkpoint or, without, renews the lease.
func (o *owner) replaceManifest(m manifest, c *checkpoint) {
	m.Sequence++
	o.swap = &job{kind: jobManifest, expect: m, etag: o.etag, publishes: c, began: time.Now()}
	o.changes.addFirst(o.swap)
}

// swapped notes that the manifest was replaced.
func (o *owner) swapped(j *job, now time.Time) {
	o.manifest, o.etag, o.swap = j.expect, j.etag, nil
	o.renewAt = now.Add(o.config.Lease / 3)
	o.stats.Published++
	if o.manifest.Owner == "" {
		r := o.closing
		o.closing = nil
		o.end(block.ErrClosed)
		if r != nil {
			r.finish(nil)
		}
		return
	}
	c := j.publishes
	if c == nil {
		return
	}
	o.checkpoint = nil
	for _, chunk := range c.chunks {
		o.cache.published(chunk)
	}
	o.garbage = append(o.garbage, c.garbage...)
	o.answerUploads()
	o.retryWaiting()
}

// answerUploads answers those who waited for what is in the bucket now.
func (o *owner) answerUploads() {
	for _, list := range []*[]*request{&o.syncs, &o.uploads} {
		var left []*request
		for _, r := range *list {
			if r.number > o.manifest.Applied {
				left = append(left, r)
			} else {
				r.finish(nil)
			}
		}
		*list = left
	}
}

// canClose says whether the disk can be given back: all is in the bucket, and what
// nothing names is gone.
func (o *owner) canClose() bool {
	return o.closing != nil && o.manifest.Applied >= o.number && len(o.writes)+len(o.items) == 0 &&
		len(o.garbage)+o.removing == 0
}

// removeGarbage has some of what nothing names deleted, where nothing else is to be
// done.
func (o *owner) removeGarbage() {
	for len(o.garbage) > 0 && o.removing < o.config.Parallel && o.changes.next() == nil {
		o.removing++
		o.changes.add(&job{kind: jobRemove, key: o.garbage[0], began: time.Now()})
		o.garbage = o.garbage[1:]
	}
}

// sweep begins to look for objects that nothing names: those of a writer that came to
// a sudden end.
func (o *owner) sweep(after string) {
	o.sweeping = true
	o.changes.add(&job{kind: jobList, after: after, began: time.Now()})
}

// swept looks at some names. Of the epochs before this one, what the index does not
// name now it will never name.
func (o *owner) swept(j *job, now time.Time) {
	if j.err != nil {
		o.changes.retry(j, now)
		return
	}
	for _, key := range j.keys {
		kind, number, v, ok := parseKey(strings.TrimPrefix(key, o.config.Name+"/"))
		if !ok || v.Epoch >= o.manifest.Epoch {
			continue
		}
		named := o.index.get(number).version
		if kind == 'p' {
			named = version{}
			if p := o.index.pages[number]; p != nil {
				named = p.object
			}
			if v == o.manifest.Pages[number] {
				continue // until another one is published
			}
		}
		if named != v && !o.checkpointReplaces(key) {
			o.garbage = append(o.garbage, key)
			o.stats.Swept++
		}
	}
	if len(j.keys) == 0 {
		o.sweeping = false
		return
	}
	o.sweep(j.keys[len(j.keys)-1])
}

// checkpointReplaces says whether the object is still named by what is published, and
// the checkpoint under way will delete it.
func (o *owner) checkpointReplaces(key string) bool {
	if o.checkpoint == nil {
		return false
	}
	for _, g := range o.checkpoint.garbage {
		if g == key {
			return true
		}
	}
	return false
}

// chunkKey is the name of the object of a chunk.
func chunkKey(disk string, number int64, v version) string {
	return fmt.Sprintf("%s/c/%08x-%08x-%08x", disk, number, v.Epoch, v.Sequence)
}

// pageKey is the name of the object of a page of the index.
func pageKey(disk string, number int64, v version) string {
	return fmt.Sprintf("%s/p/%08x-%08x-%08x", disk, number, v.Epoch, v.Sequence)
}

// manifestKey is the name of the manifest.
func manifestKey(disk string) string { return disk + "/manifest" }

// parseKey reads the name of a chunk, 'c', or a page, 'p'.
func parseKey(s string) (kind byte, number int64, v version, ok bool) {
	if len(s) != 28 || s[1] != '/' || s[0] != 'c' && s[0] != 'p' {
		return 0, 0, v, false
	}
	var again string
	n, err := fmt.Sscanf(s[2:], "%08x-%08x-%08x", &number, &v.Epoch, &v.Sequence)
	if again = fmt.Sprintf("%08x-%08x-%08x", number, v.Epoch, v.Sequence); n != 3 || err != nil || again != s[2:] {
		return 0, 0, v, false
	}
	return s[0], number, v, true
}
