package vhost

import (
	"fmt"
	"testing"

	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// TestResetThenBase: a ring says where it was also when the device has been reset
// before it is asked, whichever way, and begins anew when it is set up anew.
func TestResetThenBase(t *testing.T) {
	for _, features := range []uint64{ringFeatures, ringFeatures | virtqueue.FeaturePacked} {
		for name, reset := range map[string]func(*Frontend) error{
			"no reset":     func(*Frontend) error { return nil },
			"SET_STATUS":   func(f *Frontend) error { return f.Set(SetStatus, U64(0)) },
			"RESET_DEVICE": func(f *Frontend) error { return f.Set(ResetDevice, nil) },
			"both": func(f *Frontend) error {
				if err := f.Set(SetStatus, U64(0)); err != nil {
					return err
				}
				return f.Set(ResetDevice, nil)
			},
		} {
			t.Run(fmt.Sprintf("%s %#x", name, features), func(t *testing.T) {
				f, _ := pair(t, &echo{}, Config{Report: report(t)})
				v := newVM(t)
				v.attach(f, features)
				r := v.addRing(8)
				v.start(0)
				for i := range 5 {
					v.echoes(r, fmt.Sprint("text ", i))
				}
				if err := reset(f); err != nil {
					t.Fatal(err)
				}
				base, err := f.StopRing(0)
				if err != nil {
					t.Fatal(err)
				}
				want := uint32(5)
				if features&virtqueue.FeaturePacked != 0 { // two descriptors each, or one of a table
					want = 10%8 | 10%8<<16
				}
				if base != want {
					t.Errorf("the ring is at %#x, and was at %#x", base, want)
				}
				// Whoever goes on does so from there, and waits for no kick: the device
				// may have been stopped before it had said that it wants one.
				r.config.Base = base
				v.offer(r, 0, "goes on")
				v.start(0)
				if got := v.take(r, 0); got != "goes on" {
					t.Errorf("%q came back", got)
				}
			})
		}
	}
}
