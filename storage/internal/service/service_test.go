package service

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A script is a listener that returns one thing after another.
type script struct {
	net.Listener
	next []any
}

func (s *script) Accept() (net.Conn, error) {
	v := s.next[0]
	s.next = s.next[1:]
	if err, ok := v.(error); ok {
		return nil, err
	}
	return v.(net.Conn), nil
}

// TestAccept has a listener fail in ways that pass, and then for good: the pauses grow,
// and begin anew behind each connection.
func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		full := &net.OpError{Op: "accept", Err: fmt.Errorf("accept4: %w", syscall.EMFILE)}
		var next []any
		for range 12 {
			next = append(next, full)
		}
		next = append(next, far, syscall.ECONNABORTED, net.ErrClosed)
		served := make(chan net.Conn, 1)
		start := time.Now()
		err := Accept(&script{next: next}, func(c net.Conn) { served <- c })
		// 5 ms, doubled up to a second, 12 times, and 5 ms.
		if took := time.Since(start); !errors.Is(err, net.ErrClosed) || took != 5280*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		if c := <-served; c != far {
			t.Error("another connection was served than came")
		}
		far.Close()
	})
}

// TestLinger closes a TCP connection with data unread: what was written before arrives.
func TestLinger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(make([]byte, 100000)); err != nil {
		t.Fatal(err)
	}
	server.Write([]byte("last words"))
	ended := make(chan struct{})
	go func() { Linger(server, 1<<20); close(ended) }()
	client.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(client); err != nil || string(b) != "last words" {
		t.Errorf("%q, %v", b, err)
	}
	<-ended
}

func TestLines(t *testing.T) {
	if got, want := Lines(map[string]uint64{"b": 2, "a": 1, "none": 0}), fmt.Sprintf("%-32s 1\n%-32s 2\n", "a", "b"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
