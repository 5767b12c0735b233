package deadline

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(Deadline)
		passed := func() bool { return isClosed(d.Passed()) }
		if passed() {
			t.Fatal("a new deadline has passed")
		}
		waiting := d.Passed()
		d.Set(time.Now().Add(time.Second))
		time.Sleep(time.Second + 1)
		if !isClosed(waiting) || !passed() {
			t.Fatal("not passed after a second")
		}
		d.Set(time.Now().Add(time.Second))
		if passed() {
			t.Fatal("passed after it was moved ahead")
		}
		d.Set(time.Time{})
		time.Sleep(time.Hour)
		if passed() {
			t.Fatal("never has passed")
		}
		d.Set(time.Now().Add(-1))
		if !passed() {
			t.Fatal("the past has not passed")
		}
		d.Set(time.Now())
		if !passed() {
			t.Fatal("now has not passed")
		}
		d.Set(time.Now().Add(time.Second))
		time.Sleep(time.Second)
		d.Set(time.Time{}) // at the very instant at which the timer fires
		if passed() {
			t.Fatal("passed after it was taken away")
		}
	})
}

// A deadline that is stopped does not pass any more.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(Deadline)
		d.Stop()
		d.Set(time.Now().Add(time.Second))
		passed := d.Passed()
		d.Stop()
		time.Sleep(time.Hour)
		if isClosed(passed) {
			t.Error("a stopped deadline has passed")
		}
		d.Set(time.Now().Add(-1))
		d.Stop()
		if !isClosed(d.Passed()) {
			t.Error("a deadline in the past has not passed")
		}
	})
}
