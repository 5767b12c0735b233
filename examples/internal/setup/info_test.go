package setup

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

func TestDescribe(t *testing.T) {
	i := tcp.Info{RTT: 1234567 * time.Nanosecond, SendMSS: 1448, SlowStartThresh: 1 << 30, CongestionWindow: 14480}
	if s := Describe(i); !strings.Contains(s, "rtt          1.235ms,") || !strings.Contains(s, "congestion 14480, slow start threshold none yet,") {
		t.Error(s)
	}
	i.SlowStartThresh = 2896
	if s := Describe(i); !strings.Contains(s, "slow start threshold 2896,") {
		t.Error(s)
	}
}
