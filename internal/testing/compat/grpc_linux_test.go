package compat

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// TestGRPC has grpc-go serve over the stack, and ask over it: calls, many at once, a
// stream that ends with the server, and a deadline.
func TestGRPC(t *testing.T) {
	h := newHost(t)
	dialKernel := func(ctx context.Context, address string) (net.Conn, error) { return h.ns.Dial(ctx, "tcp", address) }
	dialOurs := func(ctx context.Context, address string) (net.Conn, error) { return h.DialContext(ctx, "tcp", address) }
	for name, c := range map[string]struct {
		l    net.Listener
		dial func(context.Context, string) (net.Conn, error)
	}{
		"we serve": {h.listen(t, ours+":50051"), dialKernel},
		"we ask":   {h.listenKernel(t, kernel+":50051"), dialOurs},
	} {
		t.Run(name, func(t *testing.T) {
			state := health.NewServer()
			server := grpc.NewServer()
			grpc_health_v1.RegisterHealthServer(server, state)
			go server.Serve(c.l)
			conn, err := grpc.NewClient("passthrough:///"+c.l.Addr().String(), grpc.WithContextDialer(c.dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
			must(t, err)
			defer conn.Close()
			askHealth(t, grpc_health_v1.NewHealthClient(conn), state)
			server.Stop()
		})
	}
}

func askHealth(t *testing.T, client grpc_health_v1.HealthClient, state *health.Server) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	must(t, err)
	for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING} {
		got, err := stream.Recv()
		must(t, err)
		if got.Status != want {
			t.Errorf("the stream says %v, want %v", got.Status, want)
		}
		state.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	errs := make(chan error)
	const calls = 500
	for range calls {
		go func() {
			reply, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			if err == nil && reply.Status != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
				err = fmt.Errorf("status %v", reply.Status)
			}
			errs <- err
		}()
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
	late, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	stream, err = client.Watch(late, &grpc_health_v1.HealthCheckRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("behind the deadline: %v", err)
	}
}
