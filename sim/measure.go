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

// An Interval is the mean of some values, and how far the true one may be from it on
// either side, with a confidence of 95 %, if the values are independent and about
// normally distributed.
type Interval struct{ Mean, Half float64 }

// Confidence is the interval of values, by Student's t. Of less than two values
// nothing is known: Half is infinite then.
func Confidence(values []float64) Interval {
	n := float64(len(values))
	mean, squares := 0.0, 0.0
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	if n < 2 {
		return Interval{mean, math.Inf(1)}
	}
	return Interval{mean, student(len(values)-1) * math.Sqrt(squares/(n-1)/n)}
}

// student is the 97.5 % quantile of Student's t with so many degrees of freedom: by
// table, and from where it ends by the first terms of its expansion (Abramowitz and
// Stegun 26.7.5).
func student(freedom int) float64 {
	table := [...]float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228}
	if freedom <= len(table) {
		return table[freedom-1]
	}
	const z = 1.959964
	d := float64(freedom)
	return z + (z*z*z+z)/(4*d) + (5*z*z*z*z*z+16*z*z*z+3*z)/(96*d*d)
}
