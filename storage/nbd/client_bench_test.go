package nbd

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// BenchmarkClient reads and writes a memory export of our server over loopback.
func BenchmarkClient(b *testing.B) {
	for _, c := range []struct{ size, depth, connections int }{{4096, 1, 1}, {4096, 16, 1}, {4096, 64, 4}, {1 << 20, 4, 1}, {1 << 20, 4, 4}} {
		for _, write := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%d,depth=%d,connections=%d,write=%v", c.size, c.depth, c.connections, write), func(b *testing.B) {
				s := newServer(b, block.NewMemory(64<<20))
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				go s.Serve(l)
				defer s.Close()
				client, err := (&Dialer{Connections: c.connections}).Dial(context.Background(), "nbd://"+l.Addr().String()+"/a")
				if err != nil {
					b.Fatal(err)
				}
				defer client.Close()
				b.SetBytes(int64(c.size))
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for u := range c.depth {
					wg.Go(func() {
						p := make([]byte, c.size)
						for i := u; i < b.N; i += c.depth {
							off := int64(i) * int64(c.size) % (64 << 20)
							var err error
							if write {
								_, err = client.WriteAt(p, off)
							} else {
								_, err = client.ReadAt(p, off)
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
