//go:build !linux

package guest

import (
	"os"
	"os/exec"
)

func dieTogether(*exec.Cmd) {}

func widen(*os.File) error { return nil }
