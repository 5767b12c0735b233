//go:build linux

package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A metronome makes the timers of this process exact. The runtime rounds the
// wait of an idle thread up to a millisecond: the wire would deliver twenty
// frames at once, where a real one has them apart. A file that becomes readable
// at each beat keeps a thread from waiting that long.
type metronome struct{ file *os.File }

// beat is how exact timers are then: less than a frame takes at 200 Mbit/s.
const beat = 50 * time.Microsecond

func startMetronome() (metronome, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return metronome{}, os.NewSyscallError("timerfd_create", err)
	}
	m := metronome{os.NewFile(uintptr(fd), "metronome")}
	each := unix.NsecToTimespec(int64(beat))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: each, Value: each}, nil); err != nil {
		m.stop()
		return metronome{}, os.NewSyscallError("timerfd_settime", err)
	}
	go func() {
		for buf := make([]byte, 8); ; {
			if _, err := m.file.Read(buf); err != nil {
				return
			}
		}
	}()
	return m, nil
}

func (m metronome) stop() { m.file.Close() }
