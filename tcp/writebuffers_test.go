package tcp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestWriteBuffers: pieces leave as whole segments, of which only the last is
// short, whatever their lengths.
func TestWriteBuffers(t *testing.T) {
	for name, lengths := range map[string][]int{
		"small pieces":         slices.Repeat([]int{100}, 500),
		"bytes":                slices.Repeat([]int{1}, 5000),
		"with empty ones":      {0, 10, 0, 0, 10, 0},
		"none":                 {},
		"large pieces":         {30_001, 30_001, 1},
		"small ones and large": slices.Repeat([]int{7, 20_011, 3, 90}, 20),
		"more than any buffer": slices.Repeat([]int{333, 70_007}, 20),
	} {
		t.Run(name, func(t *testing.T) {
			withPeer(t, Config{}, func(p *peer) {
				c := p.connected()
				var v net.Buffers
				total := 0
				for i, n := range lengths {
					v = append(v, bytes.Repeat([]byte{byte(i)}, n))
					total += n
				}
				mss := c.Info().SendMSS
				want := bytes.Join(v, nil)
				type outcome struct {
					n   int64
					err error
				}
				done := make(chan outcome, 1)
				go func() {
					n, err := c.WriteBuffers(v)
					done <- outcome{n, err}
				}()
				segments, got := 0, []byte{}
				for len(got) < total {
					s := p.next()
					if s == nil {
						time.Sleep(time.Second) // the pace
						if s = p.next(); s == nil {
							t.Fatalf("nothing is sent after %d of %d bytes", len(got), total)
						}
					}
					segments += (s.Len + mss - 1) / mss
					got = append(got, s.Data...)
					p.send(fmt.Sprintf(". 1:1(0) ack %d win 60000", 1+len(got)))
				}
				if o := <-done; o.n != int64(total) || o.err != nil {
					t.Errorf("%d, %v; want %d", o.n, o.err, total)
				}
				if !bytes.Equal(got, want) {
					t.Error("other bytes came than were written")
				}
				// Where the send buffer or the window is full in between, a segment may be short.
				if least := (total + mss - 1) / mss; segments < least || segments > least+total/500_000 {
					t.Errorf("%d segments, want %d", segments, least)
				}
				c.Write([]byte("x")) // nothing is held back any more
				p.want("the next write goes at once", fmt.Sprintf("P. %d:%d(1) ack 1", 1+total, 2+total))
			})
		})
	}
}

// TestWriteBuffersInterrupted: a deadline and Close end it, and what it held back
// goes out.
func TestWriteBuffersInterrupted(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Conn)
		want error
	}{
		{"a deadline", func(c *Conn) { c.SetWriteDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"Close", func(c *Conn) { c.Close() }, net.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, Config{SendBuffer: 100_000}, func(p *peer) {
				conn := p.connected()
				v := net.Buffers(slices.Repeat([][]byte{make([]byte, 1001)}, 1000))
				written := async(func() (int, error) {
					n, err := conn.WriteBuffers(v)
					return int(n), err
				})
				synctest.Wait()
				c.end(conn)
				o := <-written
				if o.n <= 0 || o.n >= 1_001_000 || !errors.Is(o.err, c.want) {
					t.Errorf("%d, %v", o.n, o.err)
				}
				sent := 0
				for range 1000 {
					if s := p.next(); s != nil {
						sent += s.Len
						p.send(fmt.Sprintf(". 1:1(0) ack %d win 60000", 1+sent))
					}
				}
				if sent != o.n {
					t.Errorf("%d bytes were sent, %d written", sent, o.n)
				}
			})
		})
	}
}
