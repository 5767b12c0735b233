package service

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/seed-012105e5/gonet"
)

// startProfile begins with a profile of the CPU time of this process, and
// returns what ends it, and writes a profile of allocations and the counters of
// the stack, where it has some. The names of the files begin with prefix.
func startProfile(prefix string, s any) (end func() error, err error) {
	runtime.MemProfileRate = 512 // bytes: small allocations are of interest too
	cpu, err := os.Create(prefix + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(cpu.Close(), writeAllocations(prefix+".allocs"), writeCounters(prefix+".stats", s))
	}, nil
}

func writeAllocations(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	runtime.GC() // the profile is as of the last one
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}

func writeCounters(file string, s any) error {
	counted, ok := s.(interface{ Stats() gonet.Stats })
	if !ok {
		return nil
	}
	return os.WriteFile(file, []byte(counted.Stats().String()), 0o644)
}
