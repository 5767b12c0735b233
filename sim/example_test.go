package sim_test

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/sim"
)

// Half a minute of two flows that share a line, in virtual time.
func ExampleExperiment() {
	result, err := sim.Experiment{
		Seed: 1, Flows: 2, Controllers: []string{"cubic", "reno"}, RTT: 20 * time.Millisecond, Rate: 5e6,
	}.Run(context.Background())
	fmt.Println(result.Total > 0.9*result.Bound, result.Jain > 0.7, err)
	// Output: true true <nil>
}
