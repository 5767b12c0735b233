package sim

import (
	"math"
	"time"
)

// Jain is the fairness index of Jain, Chiu and Hawe (1984): 1 when all shares
// are alike, 1/n when one of n has everything.
func Jain(shares []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// Mathis is the bound of Mathis, Semke, Mahdavi and Ott (1997) on the
// throughput of a Reno sender whose segments are lost at random: 1.22 windows
// of mss/sqrt(loss) each round trip, in bit/s.
func Mathis(mss int, rtt time.Duration, loss float64) float64 {
	if loss <= 0 || rtt <= 0 {
		return math.Inf(1)
	}
	return 8 * 1.22 * float64(mss) / (rtt.Seconds() * math.Sqrt(loss))
}

// Response is the bound of a controller: that of Mathis for one that grows by
// a segment each round trip and halves at a loss, that of RFC 9438 section 5.1
// for "cubic" where it is higher, and none for "bbr", which does not take a
// lost segment for congestion.
func Response(controller string, mss int, rtt time.Duration, loss float64) float64 {
	reno := Mathis(mss, rtt, loss)
	switch {
	case controller == "bbr" || loss <= 0:
		return math.Inf(1)
	case controller == "cubic":
		window := 1.054 * math.Pow(rtt.Seconds()/loss, 0.75)
		return max(reno, 8*float64(mss)*window/rtt.Seconds())
	}
	return reno
}

// Payload is what a line of rate bit/s carries of text, in bit/s, when all
// frames are full: with the headers of Ethernet, IP and TCP with timestamps.
func Payload(rate int64, mtu int) float64 {
	return float64(rate) * float64(mtu-20-32) / float64(mtu+14)
}
