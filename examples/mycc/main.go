// Mycc shows how to write a congestion control of one's own, vegas.go, and
// compares it with CUBIC on the same line, in virtual time. It is the laboratory
// with one control more, so all flags of examples/lab are its own too.
//
//	go run ./examples/mycc
//	go run ./examples/mycc -cc reno,cubic,bbr,vegas -rate 50M -rtt 10ms -loss 0.0001
//	go run ./examples/mycc -each=false -cc vegas,cubic -flows 2     who yields to whom
package main

import (
	"github.com/seed-012105e5/gonet/sim/lab"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

func main() { lab.Main(config) }

var config = lab.Config{
	Name: "mycc",
	About: `Mycc has flows with one congestion control after the other share a line, in
virtual time, and tells how fast that was and how long packets waited. One of the
controls is its own: vegas.`,
	Controllers: map[string]congestion.Factory{"vegas": NewVegas},
	// A line that shows the difference, unless the user says otherwise.
	Args: []string{"-each", "-cc", "cubic,vegas", "-flows", "2", "-rate", "20M", "-rtt", "20ms", "-buffer", "5"},
}
