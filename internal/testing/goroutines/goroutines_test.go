package goroutines

import (
	"strings"
	"testing"
	"testing/synctest"
)

func TestRunning(t *testing.T) {
	before := Count()
	end := make(chan bool)
	go func() { <-end }()
	if n := Count(); n != before+1 {
		t.Errorf("%d goroutines, want %d", n, before+1)
	}
	if first := Running()[0]; !strings.Contains(first, "TestRunning") {
		t.Errorf("the first is not the caller's:\n%s", first)
	}
	synctest.Test(t, func(t *testing.T) {
		before := Count()
		ended := make(chan bool)
		go func() { <-ended }()
		if n := Count(); n != before+1 {
			t.Errorf("%d goroutines in the bubble, want %d", n, before+1)
		}
		if all := strings.Join(Running(), "\n\n"); strings.Contains(all, "goroutine 1 [") {
			t.Errorf("one outside of the bubble is counted:\n%s", all)
		}
		close(ended)
	})
	end <- true
}
