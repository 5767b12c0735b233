package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// ChurnConfig says what the clients of [Net.Churn] do.
type ChurnConfig struct {
	Start, End time.Duration // when clients begin, and when they begin no more; an End of 0 is never

	Clients  int // at a time
	Requests int // over one connection, which is closed behind them; 0 means that it never is

	// Request and Response are the mean lengths in bytes, and Pause is the mean
	// time before each request; the lengths vary evenly by a half either way,
	// the pause is distributed exponentially.
	Request, Response int
	Pause             time.Duration
}

// A Churn is what was seen of a workload of requests and responses.
type Churn struct {
	Connections int             // that were opened
	Answers     int             // that came whole
	Bytes       int64           // of all responses
	Latency     []time.Duration // of each request, in the order of the answers
}

// requestHeader is the length of the request and of the response.
const requestHeader = 8

// Churn starts clients that open connections, send requests, read the
// responses, and close.
func (n *Net) Churn(from, to *Host, cfg ChurnConfig) *Churn {
	result := new(Churn)
	l, at, err := to.Listen()
	if err != nil {
		n.Fail(err)
		return result
	}
	n.Go(func(*App) error { return serve(n, l) })
	for range cfg.Clients {
		random := rand.New(rand.NewPCG(n.random.Uint64(), 1))
		n.Go(func(a *App) error {
			a.Until(cfg.Start)
			for cfg.End == 0 || n.Now() < cfg.End {
				a.Sleep(exponential(random, cfg.Pause))
				if err := result.client(a, from, at, cfg, random); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return result
}

func exponential(random *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(random.ExpFloat64() * float64(mean))
}

// around is a length that varies by a half either way.
func around(random *rand.Rand, mean int) int { return mean/2 + random.IntN(mean+1) }

// client is one connection.
func (r *Churn) client(a *App, from *Host, at netip.AddrPort, cfg ChurnConfig, random *rand.Rand) error {
	c, err := from.Dial(at)
	if err != nil {
		return err
	}
	defer c.Close()
	a.Net.mu.Lock()
	r.Connections++
	a.Net.mu.Unlock()
	for i := 0; cfg.Requests == 0 || i < cfg.Requests; i++ {
		if i > 0 {
			a.Sleep(exponential(random, cfg.Pause))
		}
		if cfg.End > 0 && a.Net.Now() >= cfg.End {
			return nil
		}
		began := a.Net.Now()
		request := make([]byte, requestHeader+around(random, cfg.Request))
		want := around(random, cfg.Response)
		binary.BigEndian.PutUint32(request, uint32(len(request)))
		binary.BigEndian.PutUint32(request[4:], uint32(want))
		if _, err := c.Write(request); err != nil {
			return err
		}
		if n, err := io.CopyN(io.Discard, c, int64(want)); err != nil {
			return fmt.Errorf("%d bytes of a response with %d: %w", n, want, err)
		}
		r.answered(a.Net, want, a.Net.Now()-began)
	}
	return nil
}

// answered counts a response of so many bytes.
func (r *Churn) answered(n *Net, bytes int, latency time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r.Answers++
	r.Bytes += int64(bytes)
	r.Latency = append(r.Latency, latency)
}

// serve answers each request on each connection.
func serve(n *Net, l *tcp.Listener) error {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return err
		}
		n.apps.Go(func() {
			if err := answer(c); !Ended(err) {
				n.Fail(err)
			}
		})
	}
}

func answer(c *tcp.Conn) error {
	defer c.Close()
	var header [requestHeader]byte
	for {
		if _, err := io.ReadFull(c, header[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		request := binary.BigEndian.Uint32(header[:])
		if _, err := io.CopyN(io.Discard, c, int64(request)-requestHeader); err != nil {
			return err
		}
		if _, err := c.Write(make([]byte, binary.BigEndian.Uint32(header[4:]))); err != nil {
			return err
		}
	}
}
