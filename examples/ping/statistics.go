package main

import (
	"fmt"
	"math"
	"net/netip"
	"time"
)

// statistics is what became of all pings.
type statistics struct {
	sent, received  int
	least, most     time.Duration
	sum, sumSquares float64 // in seconds
	took            time.Duration
}

func (s *statistics) add(a answer) {
	s.sent++
	if a.err != nil {
		return
	}
	rtt := a.reply.RTT
	if s.received == 0 || rtt < s.least {
		s.least = rtt
	}
	s.most = max(s.most, rtt)
	s.sum += rtt.Seconds()
	s.sumSquares += rtt.Seconds() * rtt.Seconds()
	s.received++
}

// summary has the form of ping(8).
func (s *statistics) summary(to netip.Addr) string {
	text := fmt.Sprintf("\n--- %v ping statistics ---\n%d packets transmitted, %d received, %.4g%% packet loss, time %dms\n",
		to, s.sent, s.received, 100*float64(s.sent-s.received)/float64(max(s.sent, 1)), s.took.Milliseconds())
	if s.received > 0 {
		n := float64(s.received)
		mean := s.sum / n
		deviation := math.Sqrt(max(0, s.sumSquares/n-mean*mean))
		text += fmt.Sprintf("rtt min/avg/max/mdev = %s/%.3f/%s/%.3f ms\n",
			milliseconds(s.least), 1e3*mean, milliseconds(s.most), 1e3*deviation)
	}
	return text
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.3f", 1e3*d.Seconds()) }
