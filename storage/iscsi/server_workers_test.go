package iscsi

import (
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// slowDevice takes a second for each read.
type slowDevice struct{ *block.Memory }

func (d slowDevice) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Second)
	return d.Memory.ReadAt(p, off)
}

func (slowDevice) Immediate() bool { return false }

// Workers that a session has needed once are there for other sessions when it has rested,
// and come again when it needs them.
func TestServerWorkersRest(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, units *scsi.Target) {
		disk, err := block.NewDisk(slowDevice{block.NewMemory(1 << 20)})
		if err != nil {
			t.Fatal(err)
		}
		unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		if err := units.Add(2, unit); err != nil {
			t.Fatal(err)
		}
		c := n.session(n.dialer())
		defer c.Close()
		d, err := c.Open(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			start := time.Now()
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					if _, err := d.ReadAt(make([]byte, 4096), int64(i*4096)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); took >= 2*time.Second {
				t.Errorf("8 reads at once take %v", took)
			}
			if w := n.server.workers.Load(); w != 7 {
				t.Errorf("%d workers beside the first, want 7", w)
			}
			time.Sleep(2 * workerRest)
			if w := n.server.workers.Load(); w != 0 {
				t.Errorf("%d workers are left over", w)
			}
		}
	})
}
