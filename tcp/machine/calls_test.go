package machine

import (
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
)

// TestWritableClosed: whoever waits to write hears of a CLOSE, in whatever state
// that is.
func TestWritableClosed(t *testing.T) {
	cfg := Config{Random: func() uint64 { return 0 }}.withDefaults()
	for s := SynSent; s <= TimeWait; s++ {
		m := newTCB(&cfg, new(Stats), tcptest.PeerFlow(1), tcptest.ISS, 1500)
		m.state = s
		if m.CloseWrite(tcptest.Start); !m.Writable() {
			t.Errorf("in %v: not writable", s)
		}
		if n, err := m.Write(tcptest.Start, []byte("text")); n != 0 || err == nil {
			t.Errorf("in %v: wrote %d, %v", s, n, err)
		}
	}
}
