package image

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window of zstd that is taken, in bytes: what RFC 8878,
// section 3.1.1.1.2, recommends that decoders take. No cluster is that large.
const maxWindow = 8 << 20

// A decompressor makes clusters of compressed ones, one at a time.
type decompressor struct {
	compressed []byte
	deflate    io.ReadCloser
	zstd       *zstd.Decoder
}

// decompress returns the cluster that the L2 entry describes, from the cache or the
// file.
func (i *Image) decompress(ctx context.Context, entry uint64) ([]byte, error) {
	off, length, err := i.compressedPlace(entry)
	if err != nil {
		return nil, err
	}
	return i.shared.clusters.get(key{i.number, partCluster, entry &^ entryCopied}, i.header.ClusterSize, func() ([]byte, error) {
		d := <-i.shared.decompressors
		defer func() { i.shared.decompressors <- d }()
		if cap(d.compressed) < length {
			d.compressed = make([]byte, length)
		}
		d.compressed = d.compressed[:length]
		// Others wait for the cluster, so this caller's context may not end it.
		if _, err := i.file.ReadAtContext(context.WithoutCancel(ctx), d.compressed, off); err != nil {
			return nil, err
		}
		cluster := make([]byte, i.header.ClusterSize)
		if err := d.fill(cluster, i.header.Compression); err != nil {
			return nil, fmt.Errorf("%w: the compressed cluster at %d: %v", ErrCorrupt, off, err)
		}
		return cluster, nil
	})
}

// compressedPlace is where in the file the compressed cluster is: what is after its
// end in the last sector is not told, and the file may end within that sector.
func (i *Image) compressedPlace(entry uint64) (off int64, length int, err error) {
	shift := 62 - (i.bits - 8)
	at := entry & (1<<shift - 1)
	sectors := entry & (entryCompressed - 1) >> shift
	n := (sectors+1)*sector - at%sector
	if i.header.External {
		return 0, 0, corrupt("a compressed cluster, in an image whose data is in another file")
	}
	if at >= uint64(i.fileSize) {
		return 0, 0, corrupt("a compressed cluster at %d, behind the end of the file at %d", at, i.fileSize)
	}
	return int64(at), int(min(n, uint64(i.fileSize)-at)), nil
}

// fill fills the cluster from the compressed bytes, which may be followed by others.
func (d *decompressor) fill(cluster []byte, how Compression) error {
	var err error
	from := bytes.NewReader(d.compressed)
	switch {
	case how == Zstd && d.zstd == nil:
		d.zstd, err = zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	case how == Zstd:
		err = d.zstd.Reset(from)
	case d.deflate == nil:
		d.deflate = flate.NewReader(from)
	default:
		err = d.deflate.(flate.Resetter).Reset(from, nil)
	}
	if err != nil {
		return err
	}
	if how == Zstd {
		_, err = io.ReadFull(d.zstd, cluster)
	} else {
		_, err = io.ReadFull(d.deflate, cluster)
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("too short: %w", syscall.EIO)
	}
	return err
}
