package vhost

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// TestBusyPoll: a ring that looks for work by itself is not kicked, and stops at once.
func TestBusyPoll(t *testing.T) {
	for _, features := range []uint64{virtqueue.FeatureVersion1, ringFeatures, ringFeatures | virtqueue.FeaturePacked} {
		v := newVM(t)
		front, _ := pair(t, &echo{}, Config{Report: report(t), BusyPoll: time.Hour})
		v.attach(front, features)
		r := v.addRing(16)
		v.start(0)
		v.echoes(r, "the first one kicks")
		for i := range 100 {
			at := uint64(vmBase + vmData)
			if _, err := r.Add([]virtqueue.Span{{Addr: at, Len: 4}, {Addr: at + 0x800, Len: 4}}, 1); err != nil {
				t.Fatal(err)
			}
			if r.Publish() {
				t.Fatalf("%d: it wants to be kicked", i)
			}
			v.take(r, 0)
		}
		if _, err := front.StopRing(0); err != nil {
			t.Fatal(err)
		}
	}
	// One that sleeps after a while is kicked.
	v := newVM(t)
	front, _ := pair(t, &echo{}, Config{Report: report(t), BusyPoll: time.Microsecond})
	v.attach(front, ringFeatures)
	v.addRing(16)
	v.start(0)
	for i := range 100 {
		v.echoes(v.rings[0], fmt.Sprint(i))
	}
}
