// Lab has TCP flows share a bottleneck, in virtual time: a minute of a line of
// 10 Mbit/s takes about a second, and the same seed gives the same run to the last
// bit.
//
//	go run ./examples/lab
//	go run ./examples/lab -cc cubic,reno -flows 2 -rtt 50ms -rate 20M
//	go run ./examples/lab -cc bbr -loss 0.01 -duration 60s
//	go run ./examples/lab -queue codel -buffer 8            bufferbloat, and what helps
//	go run ./examples/lab -runs 10 -cross 0.2               with an interval of confidence
//	go run ./examples/lab -csv lab.csv -pcap lab            … for plots and for Wireshark
//
// With congestion controls of one's own it is a program of one's own, of ten lines:
// see examples/mycc and package sim/lab.
package main

import "github.com/seed-012105e5/gonet/sim/lab"

func main() { lab.Main(lab.Config{}) }
