package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxUnpacking bounds the uploads that are unpacked at a time, and so their memory.
const maxUnpacking = 8

// unpacks takes a place for an upload that is to be unpacked, until leave is called.
func (s *Server) unpacks(how string) (leave func(), err error) {
	if how == "" || how == "none" {
		return func() {}, nil
	}
	select {
	case s.unpack <- struct{}{}:
		return sync.OnceFunc(func() { <-s.unpack }), nil
	default:
		return nil, errUnavailable
	}
}

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
		r, err := xz.ReaderConfig{DictCap: 4 << 10}.NewReader(newXZWindow(b, maxWindow))
		if err != nil {
			return nil, true, err
		}
		return io.NopCloser(r), true, nil
	case "zst":
		r, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, true, err
		}
		return &zstdReader{r.IOReadCloser()}, true, nil
	}
	r, err := gzip.NewReader(b)
	return r, true, err
}

// A zstdReader says what is the matter with a window.
type zstdReader struct{ io.ReadCloser }

func (r *zstdReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = errWindow
	}
	return n, err
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
