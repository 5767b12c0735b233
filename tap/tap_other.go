//go:build !linux

package tap

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/seed-012105e5/gonet/link"
)

// Open returns an error: this system has no taps.
func Open(Config) (link.Link, error) { return link.Link{}, Available() }

// A Polled is a tap without goroutines, which this system does not have.
type Polled struct{ link.Link }

// OpenPolled returns an error: this system has no taps.
func OpenPolled(Config) (*Polled, error) { return nil, Available() }

// Available returns an error: this system has no taps.
func Available() error {
	return fmt.Errorf("tap: %s has no taps, Linux has (use link.Pipe to join stacks in one program): %w", runtime.GOOS, errors.ErrUnsupported)
}
