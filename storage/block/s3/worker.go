package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A worker does jobs in the bucket, one at a time.
//
// Owns: the job that it has. Reads: jobs. Writes: results. Blocks on: the bucket, for
// Config.Timeout, and the owner.
func (d *Disk) work(jobs <-chan *job) {
	for {
		select {
		case j := <-jobs:
			ctx, cancel := context.WithTimeout(d.ctx, d.config.Timeout)
			j.err = d.perform(ctx, j)
			cancel()
			select {
			case d.results <- j:
			case <-d.ctx.Done():
				return
			}
		case <-d.ctx.Done():
			return
		}
	}
}

// perform makes one attempt.
func (d *Disk) perform(ctx context.Context, j *job) (err error) {
	switch j.kind {
	case jobFetch:
		j.data, err = getChunk(ctx, d.objects, d.config.Name, j.number, j.entry, d.chunk)
	case jobChunk:
		if isZero(j.data) { // which is a hole
			j.entry = entry{}
			return nil
		}
		j.entry.sum = checksum(j.data)
		_, err = d.objects.put(ctx, chunkKey(d.config.Name, j.number, j.entry.version), j.data, anyETag)
	case jobPage:
		_, err = d.objects.put(ctx, pageKey(d.config.Name, j.number, j.entry.version), j.data, anyETag)
	case jobManifest:
		j.etag, err = replaceManifest(ctx, d.objects, d.config.Name, j.expect, j.etag)
	case jobRemove:
		err = d.objects.remove(ctx, j.key)
	case jobList:
		j.keys, err = d.objects.list(ctx, d.config.Name+"/", j.after)
	}
	return err
}

// getChunk reads the object of a chunk, and looks whether it is that one.
func getChunk(ctx context.Context, o objects, disk string, number int64, e entry, size int) ([]byte, error) {
	got, err := o.get(ctx, chunkKey(disk, number, e.version), int64(size))
	if err != nil {
		return nil, err
	}
	if len(got.data) != size || checksum(got.data) != e.sum {
		return nil, fmt.Errorf("s3: the object of chunk %d, of %d bytes, is damaged", number, len(got.data))
	}
	return got.data, nil
}

// Of reading a manifest.
const (
	manifestReads = 30                    // at most so many times
	manifestPause = 20 * time.Millisecond // before another read of one that does not fit its ETag, five times that at most
)

// getManifest reads the manifest, with the ETag that belongs to it. A server may look up
// the two one after the other, while somebody replaces the object (versitygw 1.8 does):
// who had the text of one manifest and the ETag of the next would replace what he has
// not seen. So it is read until it is the same twice, and until the ETag is the MD5 of
// the text if it looks like one, for some seconds: of servers that encrypt it is another.
func getManifest(ctx context.Context, o objects, disk string) (object, error) {
	last, err := o.get(ctx, manifestKey(disk), manifestMost)
	for n := 1; err == nil; n++ {
		before := last
		last, err = o.get(ctx, manifestKey(disk), manifestMost)
		same := err == nil && last.etag == before.etag && bytes.Equal(last.data, before.data)
		switch {
		case same && (!last.torn() || n >= manifestReads):
			return last, nil
		case n >= manifestReads && err == nil:
			err = fmt.Errorf("s3: %s: the manifest is replaced all the time", disk)
		case same:
			select {
			case <-time.After(manifestPause * time.Duration(min(n, 5))):
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
	}
	return object{}, err
}

// torn says whether the ETag seems to be that of other text: MD5, where the server does
// not say that it encrypts.
func (o object) torn() bool {
	sum := md5.Sum(o.data)
	tag, err := hex.DecodeString(strings.Trim(o.etag, `"`))
	return !o.sealed && err == nil && len(tag) == len(sum) && !bytes.Equal(tag, sum[:])
}

// replaceManifest puts a manifest in the place of the one with the etag, and returns
// the new one's. An answer that was lost must not pass for a manifest of somebody
// else's: what is there is looked at. A second attempt must be of the same manifest.
func replaceManifest(ctx context.Context, o objects, disk string, m manifest, etag string) (string, error) {
	b, err := m.encode()
	if err != nil {
		return etag, err
	}
	got, err := o.put(ctx, manifestKey(disk), b, etag)
	if err == nil && got != "" {
		return got, nil
	}
	if err != nil && !errors.Is(err, errCondition) && !errors.Is(err, errNotFound) {
		return etag, err // the next attempt finds out whether this one was done
	}
	now, getErr := getManifest(ctx, o, disk)
	switch {
	case errors.Is(getErr, errNotFound):
		return etag, fmt.Errorf("%w: its manifest was deleted", ErrLost)
	case getErr != nil:
		return etag, getErr
	case bytes.Equal(now.data, b):
		return now.etag, nil
	case now.etag == etag:
		return etag, fmt.Errorf("s3: the manifest could not be replaced: %w", err)
	}
	other, err := decodeManifest(now.data)
	if err != nil {
		return etag, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return etag, fmt.Errorf("%w: %s is the writer, of epoch %d", ErrLost, other.who(), other.Epoch)
}

// isZero says whether all bytes are zero.
func isZero(p []byte) bool {
	var zeroes [4096]byte
	for len(p) > len(zeroes) {
		if !bytes.Equal(p[:len(zeroes)], zeroes[:]) {
			return false
		}
		p = p[len(zeroes):]
	}
	return bytes.Equal(p, zeroes[:len(p)])
}
