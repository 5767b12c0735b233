package nbd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// An attachOwner is a process that serves devices. The kernel keeps it with each device as the
// identifier of its backend (Linux 5.14 and later), so that devices of a process that was
// killed are known.
type attachOwner struct {
	space   string // of process numbers
	process int
	started uint64 // in ticks since the start of the system
}

const ownerFormat = "gonet %s %d %d"

// thisOwner is this process.
func thisOwner() (o attachOwner, err error) {
	o.process = os.Getpid()
	if o.space, err = os.Readlink("/proc/self/ns/pid"); err != nil {
		return o, err
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return o, err
	}
	o.started, err = startOf(stat)
	return o, err
}

// startOf is the field starttime of /proc/PID/stat (proc(5)).
func startOf(stat []byte) (uint64, error) {
	at := bytes.LastIndexByte(stat, ')') // of the name, which may hold anything
	fields := bytes.Fields(stat[at+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("%q is no status of a process", stat)
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

func (o attachOwner) String() string { return fmt.Sprintf(ownerFormat, o.space, o.process, o.started) }

// parseOwner reads an identifier; ok is false if it is none of ours.
func parseOwner(s string) (o attachOwner, ok bool) {
	_, err := fmt.Sscanf(s, ownerFormat, &o.space, &o.process, &o.started)
	return o, err == nil && o.String() == s
}

// gone says whether the process has ended, by the processes below proc: of another space
// of numbers that cannot be known.
func (o attachOwner) gone(proc, space string) bool {
	if o.space != space {
		return false
	}
	stat, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(o.process), "stat"))
	if err != nil {
		return os.IsNotExist(err)
	}
	started, err := startOf(stat)
	return err == nil && started != o.started // another one has its number
}

// abandoned says whether the device is one that a process attached which was killed, and
// that nobody has mounted.
func abandoned(index int, this attachOwner) bool {
	text, err := os.ReadFile(fmt.Sprintf("/sys/block/nbd%d/backend", index))
	if err != nil {
		return false
	}
	o, ok := parseOwner(strings.TrimSpace(string(text)))
	return ok && o.gone("/proc", this.space) && !mounted(index)
}

// mounted says whether a file system on the device is mounted here, or another device
// made of it.
func mounted(index int) bool {
	dir := fmt.Sprintf("/sys/block/nbd%d", index)
	holders, err := os.ReadDir(filepath.Join(dir, "holders"))
	mounts, err2 := os.ReadFile("/proc/self/mountinfo")
	number, err3 := os.ReadFile(filepath.Join(dir, "dev"))
	if err != nil || err2 != nil || err3 != nil || len(holders) > 0 {
		return true // as far as is known
	}
	partitions, _ := filepath.Glob(filepath.Join(dir, "*", "partition"))
	for _, p := range partitions {
		n, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "dev"))
		number = append(append(number, ' '), n...)
	}
	for _, n := range strings.Fields(string(number)) {
		if strings.Contains(string(mounts), " "+n+" ") {
			return true
		}
	}
	return false
}

// clearAbandoned takes devices from the kernel whose process was killed: that one, or all.
func (k kernelNBD) clearAbandoned(index int) {
	this, err := thisOwner()
	if err != nil {
		return
	}
	devices, _ := filepath.Glob("/sys/block/nbd*/backend")
	for _, path := range devices {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "nbd"))
		if err == nil && (index == anyIndex || n == index) && abandoned(n, this) {
			k.disconnect(n)
		}
	}
}
