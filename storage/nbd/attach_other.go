//go:build !linux

package nbd

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/seed-012105e5/gonet/storage/block"
)

func (a *Attachment) start(_ context.Context, dev *os.File, _ *block.Disk, _ AttachConfig) error {
	if dev != nil {
		dev.Close()
	}
	return fmt.Errorf("the kernel of %s has no network block devices: %w", runtime.GOOS, block.ErrNotSupported)
}
