package layers

import (
	"bytes"
	"context"
	"runtime/trace"
	"slices"
	"strconv"
	"testing"
)

func TestName(t *testing.T) {
	for want, stack := range map[string][]string{
		"ethernet.Rx": {
			"runtime.chanrecv2", "github.com/seed-012105e5/gonet/ethernet.Rx",
			"github.com/seed-012105e5/gonet.(*Stack).start.func2", "github.com/seed-012105e5/gonet.(*Stack).run.func1",
		},
		"tap.(*card).read": {"internal/poll.(*FD).Read", "github.com/seed-012105e5/gonet/tap.(*card).read"},
		"the program":      {"net.(*conn).Read", "example.com/service.echo", "example.com/service.accept.func1.1"},
		"":                 {"runtime.gcBgMarkWorker"},
	} {
		if got := name(slices.Values(stack)); got != want {
			t.Errorf("%v: %q, want %q", stack, got, want)
		}
	}
}

// pong answers what comes.
func pong(in <-chan int, out chan<- int) {
	for v := range in {
		out <- v
	}
	close(out)
}

// TestRead traces a goroutine that answers 100 requests.
func TestRead(t *testing.T) {
	if trace.IsEnabled() {
		t.Skip("somebody else traces")
	}
	in, out := make(chan int), make(chan int)
	go pong(in, out)
	var buf bytes.Buffer
	if err := trace.Start(&buf); err != nil {
		t.Fatal(err)
	}
	trace.Log(context.Background(), Requests, "7")
	for i := range 100 {
		in <- i
		<-out
	}
	trace.Log(context.Background(), Requests, strconv.Itoa(107))
	trace.Stop()
	close(in)
	p, err := Read(&buf)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.Processes, func(p Process) bool { return p.Name == "layers.pong" })
	if p.Requests != 100 || i < 0 {
		t.Fatalf("%+v", p)
	}
	if g := p.Processes[i]; g.WakeUps < 100 || g.WakeUps > 400 || g.Running <= 0 {
		t.Errorf("%+v", g)
	}
}
