package machine

import (
	"testing"
	"time"
)

// TestConfigDefaults: MUST-40: an acknowledgement is never delayed for half a
// second; and what makes no sense is taken for the default.
func TestConfigDefaults(t *testing.T) {
	c := Config{DelayedACK: time.Second, SynBacklog: -1, TimeWaits: -1, SendBuffer: -1}.withDefaults()
	d := Config{}.withDefaults()
	if c.DelayedACK >= 500*time.Millisecond || c.DelayedACK < d.DelayedACK {
		t.Errorf("DelayedACK is %v", c.DelayedACK)
	}
	if c.SynBacklog != d.SynBacklog || c.TimeWaits != d.TimeWaits || c.SendBuffer != d.SendBuffer {
		t.Errorf("%+v", c)
	}
	if off := (Config{DelayedACK: -1}).withDefaults().DelayedACK; off >= 0 {
		t.Errorf("delaying is not off: %v", off)
	}
}

func TestTimerGrain(t *testing.T) {
	at := time.Unix(5, 7)
	for grain, want := range map[time.Duration]time.Time{0: at, 1: at, 2: time.Unix(5, 8), 7: time.Unix(5, 7+7-(5_000_000_007%7)), time.Second: time.Unix(6, 0)} {
		c := Config{TimerGrain: grain}
		if got := c.timerInstant(at); !got.Equal(want) {
			t.Errorf("grain %v: %v, want %v", grain, got.UnixNano(), want.UnixNano())
		}
		if !c.timerInstant(time.Time{}).IsZero() {
			t.Error("what never fires, fires")
		}
	}
}

// TestParkAfter: the former name of Config.ParkAfter still counts, and the present one
// before it.
func TestParkAfter(t *testing.T) {
	for _, c := range []struct{ after, former, want time.Duration }{
		{0, 0, time.Second}, {0, -1, -1}, {0, time.Hour, time.Hour}, {time.Minute, time.Hour, time.Minute}, {-1, time.Hour, -1},
	} {
		if got := (Config{ParkAfter: c.after, SleepAfter: c.former}).withDefaults().ParkAfter; got != c.want {
			t.Errorf("ParkAfter %v, SleepAfter %v: %v, want %v", c.after, c.former, got, c.want)
		}
	}
}
