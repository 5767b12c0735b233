package setup

import (
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// noThreshold is more than any slow start threshold that TCP has set.
const noThreshold = 1 << 30

// Describe is the state of a connection in some lines.
func Describe(i tcp.Info) string {
	threshold := "none yet"
	if i.SlowStartThresh < noThreshold {
		threshold = fmt.Sprint(i.SlowStartThresh)
	}
	round := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
	return fmt.Sprintf("rtt          %v, varies by %v, least %v; rto %v\n", round(i.RTT), round(i.RTTVar), round(i.MinRTT), round(i.RTO)) +
		fmt.Sprintf("windows      congestion %d, slow start threshold %s, to send %d, to receive %d\n", i.CongestionWindow, threshold, i.SendWindow, i.ReceiveWindow) +
		fmt.Sprintf("options      mss %d, window scale %d here and %d there, SACK %v, timestamps %v\n", i.SendMSS, i.ReceiveScale, i.SendScale, i.SACK, i.Timestamps)
}
