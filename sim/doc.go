// Package sim is a laboratory: whole networks of gonet stacks in virtual time.
// A minute of a line of 10 Mbit/s takes about a second, an hour of a thousand idle
// connections some seconds, and a run is repeated to the last bit from its seed.
//
//	err := sim.Run(ctx, seed, func(n *sim.Net) error {
//		d := n.Dumbbell(8, sim.Both(bottleneck), access, config)
//		if err := n.Start(); err != nil {
//			return err
//		}
//		flow := n.Bulk(d.Left[0], d.Right[0], sim.BulkConfig{})
//		err := n.Wait(30 * time.Second)
//		fmt.Println(flow.Goodput(10*time.Second, 30*time.Second))
//		return err
//	})
//
// Links are those of package link, with its losses, queues and marks. Hosts and
// routers are whole stacks, with their own forwarding. Workloads are bulk flows,
// flows that are now on, now off, and requests with responses; [Net.Go] runs
// others. [Experiment] is the common case, of which examples/lab is the program.
//
// # What makes a run repeat
//
// All randomness comes from the seed. What is left is the order of things that
// happen at the same instant, which the Go scheduler decides: so each direction
// of each link, and each application, has instants of its own, the nanoseconds
// of one residue class (see [link.Impairment], Cycle). Between two such instants
// all processes come to rest, so that what one frame or one application causes
// is a chain, and is over before the next begins. Sizes and lengths of the
// chain do not matter, nor does the number of processors.
//
// The timers of TCP fire at other instants than these. Two of different
// connections of one host may still meet at one nanosecond, and are the one case
// left to chance: with a hundred of each a second, once in some hours of
// network. The tests compare runs bit for bit, and tables of a hundred runs to
// the last digit.
//
// A workload keeps the chain when it acts on what has come, or after
// [App.Sleep]; one that has two goroutines act on one connection at the same
// instant does not.
package sim
