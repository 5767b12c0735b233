package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// machine says where this is.
func machine() result.Machine {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	info, _ := os.ReadFile("/proc/cpuinfo")
	commit, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output() // no matter, outside of a clone
	return result.Machine{
		Kernel: "Linux " + strings.TrimSpace(string(kernel)), Go: runtime.Version(), CPU: modelName(info), CPUs: runtime.NumCPU(),
		Commit: strings.TrimSpace(string(commit)), Date: time.Now().UTC().Format("2006-01-02"),
	}
}

// modelName reads /proc/cpuinfo.
func modelName(info []byte) string {
	for lines := bufio.NewScanner(bytes.NewReader(info)); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
