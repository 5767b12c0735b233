package nbd

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestServerAllocs counts what one request of each kind allocates in the steady
// state, over the kernel's TCP and unix sockets: nothing.
func TestServerAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and empties pools")
	}
	file, err := block.OpenFile(t.TempDir()+"/disk", block.FileConfig{Create: true, Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, device := range map[string]block.Device{"memory": block.NewMemory(1 << 20), "a file": file, "a device that may wait": waiting{block.NewMemory(1 << 20)}} {
		for i, style := range styles {
			network, address := "tcp", "127.0.0.1:0"
			if i == 1 {
				network, address = "unix", t.TempDir()+"/socket"
			}
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			s := newServer(t, device)
			go s.Serve(l)
			conn, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := &rawClient{t: t, conn: conn}
			c.hello(flagFixedNewstyle)
			if style == headersSimple {
				c.negotiate(style, "a")
			} else {
				c.negotiate(style, "a", contextAllocation)
			}
			for _, r := range []request{
				{0, cmdRead, 1, 4096, 4096}, {0, cmdRead, 1, 0, 256 << 10}, {c.writeFlag(), cmdWrite, 1, 4096, 4096}, {c.writeFlag() | cmdFlagFUA, cmdWrite, 1, 0, 256 << 10},
				{0, cmdFlush, 1, 0, 0}, {0, cmdTrim, 1, 64 << 10, 4096}, {0, cmdWriteZeroes, 1, 0, 4096}, {0, cmdCache, 1, 0, 4096}, {0, cmdBlockStatus, 1, 0, 1 << 20},
				{0, cmdRead, 1, 1 << 20, 4096},
			} {
				if r.cmd == cmdBlockStatus && style == headersSimple {
					continue
				}
				message := append(appendRequest(nil, r, style), make([]byte, r.payload(style))...)
				c.write(message)
				buffer := make([]byte, replyLength(c, r))
				n := testing.AllocsPerRun(50, func() {
					c.conn.Write(message)
					io.ReadFull(c.conn, buffer)
				})
				if n != 0 {
					t.Errorf("%s over %s, headers %d, %v of %d bytes at %d: %.1f allocations a request", name, network, style, r.cmd, r.length, r.offset, n)
				}
			}
			conn.Close()
			s.Close()
		}
	}
}

// waiting is a device that the lookout must look at.
type waiting struct{ *block.Memory }

func (waiting) Immediate() bool { return false }

// replyLength reads one reply and says how long it was.
func replyLength(c *rawClient, r request) int {
	c.t.Helper()
	n := 0
	if r.cmd == cmdRead && r.offset < 1<<20 {
		n = int(r.length)
	}
	counted := &countingConn{Conn: c.conn}
	c.conn = counted
	defer func() { c.conn = counted.Conn }()
	c.receive(n)
	return counted.read
}

type countingConn struct {
	net.Conn
	read int
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read += n
	return n, err
}

// BenchmarkServer is one request and its reply over loopback, from a client that
// costs little.
func BenchmarkServer(b *testing.B) {
	for _, r := range []request{{0, cmdRead, 1, 0, 4096}, {0, cmdWrite, 1, 0, 4096}, {0, cmdRead, 1, 0, 256 << 10}, {0, cmdWrite, 1, 0, 256 << 10}} {
		for _, depth := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%v/%d/depth%d", r.cmd, r.length, depth), func(b *testing.B) {
				s := newServer(b, block.NewMemory(1<<20))
				defer s.Close()
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				go s.Serve(l)
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				c := &rawClient{t: b, conn: conn}
				c.hello(flagFixedNewstyle)
				c.negotiate(headersSimple, "a")
				message := append(appendRequest(nil, r, headersSimple), make([]byte, r.payload(headersSimple))...)
				size := simpleReplySize
				if r.cmd == cmdRead {
					size += int(r.length)
				}
				tokens := make(chan struct{}, depth)
				go func() {
					for range b.N {
						tokens <- struct{}{}
						conn.Write(message)
					}
				}()
				buffer := make([]byte, size)
				b.SetBytes(int64(r.length))
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if _, err := io.ReadFull(conn, buffer); err != nil {
						b.Fatal(err)
					}
					<-tokens
				}
			})
		}
	}
}
