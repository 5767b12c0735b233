//go:build !linux

package input

import (
	"io"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// A socket is nothing here: connections are read as any others.
type socket struct{}

func newSocket(io.Reader) *socket { return nil }

func (*socket) readVector([][]byte) (int, error) { return 0, io.EOF }

func (*socket) readInto(*buffers.Pool, int, int) (*buffers.Buffer, int, error) { return nil, 0, io.EOF }
