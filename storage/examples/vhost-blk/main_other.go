//go:build !linux

// Vhost-blk gives disks to virtual machines, on Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "vhost-blk: virtual machines share their memory by file descriptors of Linux: it runs there only")
	os.Exit(1)
}
