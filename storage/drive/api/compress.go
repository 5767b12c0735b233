package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow bounds the memory that unpacking one upload takes.
const maxWindow = 64 << 20

// unpack returns what is in a compressed body, and whether it is compressed. How is a
// variant of the parameter compressed.
func unpack(body io.Reader, how string) (io.ReadCloser, bool, error) {
	if how == "" || how == "none" {
		return io.NopCloser(body), false, nil
	}
	b := bufio.NewReaderSize(body, 64<<10)
	if how == "auto" {
		head, _ := b.Peek(6)
		switch {
		case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
			how = "xz"
		case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
			how = "zst"
		case bytes.HasPrefix(head, []byte("\x1f\x8b")):
			how = "gz"
		default:
			return io.NopCloser(b), false, nil
		}
	}
	switch how {
	case "xz":
		r, err := xz.ReaderConfig{DictCap: 4 << 10}.NewReader(b)
		if err != nil {
			return nil, true, err
		}
		return io.NopCloser(r), true, nil
	case "zst":
		r, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, true, err
		}
		return r.IOReadCloser(), true, nil
	}
	r, err := gzip.NewReader(b)
	return r, true, err
}

// sendCompressed sends an image as .xz or .zst.
func sendCompressed(w http.ResponseWriter, f io.Reader, name, mode string) error {
	var packer io.WriteCloser
	var err error
	if mode == "zstd" {
		attach(w.Header(), name+".zst")
		packer, err = zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	} else {
		attach(w.Header(), name+".xz")
		packer, err = xz.WriterConfig{DictCap: 1 << 20}.NewWriter(w)
	}
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(packer, f, make([]byte, copySize))
	return errors.Join(err, packer.Close())
}
