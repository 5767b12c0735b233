package chromium

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
)

// Patience bounds every wait: machines that test are slow at times.
const Patience = time.Minute

// A Browser is Chromium without a screen. It reaches this machine only.
type Browser struct {
	command *exec.Cmd
	to      *os.File
	log     strings.Builder // what Chromium complains of; whole when it has ended
	last    atomic.Int64    // number of a call
	calls   chan *table     // holds the table while nobody does
	over    chan struct{}   // closed when Chromium says nothing more
}

// table is who waits for what.
type table struct {
	answers map[int64]chan message
	pages   map[string]*Page // by session
}

// A message is one of the protocol's, either way.
type message struct {
	ID      int64           `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts Chromium for as long as the test takes.
func Start(t testing.TB) *Browser {
	t.Helper()
	program := need.Program(t, "chromium")
	home, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	theirIn, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{to: to, calls: make(chan *table, 1), over: make(chan struct{})}
	b.calls <- &table{answers: map[int64]chan message{}, pages: map[string]*Page{}}
	b.command = exec.Command(program,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-breakpad",
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--hide-scrollbars", "--ignore-certificate-errors", "--force-device-scale-factor=1", "--lang=en-GB",
		"--remote-debugging-pipe", "--user-data-dir="+home, "about:blank")
	b.command.Env = append(os.Environ(), "HOME="+home, "TZ=UTC", "LANGUAGE=en_GB")
	b.command.ExtraFiles = []*os.File{theirIn, theirOut} // they are 3 and 4 there
	b.command.Stderr = &b.log
	b.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.command.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	go b.hear(from)
	t.Cleanup(func() {
		syscall.Kill(-b.command.Process.Pid, syscall.SIGKILL)
		b.command.Wait()
		to.Close()
		<-b.over
		from.Close()
		for range 100 { // its children may be writing for a moment
			if os.RemoveAll(home) == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if t.Failed() {
			t.Logf("Chromium says:\n%.4000s", b.log.String())
		}
	})
	return b
}

// at has f own the table.
func (b *Browser) at(f func(*table)) {
	t := <-b.calls
	defer func() { b.calls <- t }()
	f(t)
}

// hear passes on what Chromium says: messages, with a byte of zero after each.
func (b *Browser) hear(from *os.File) {
	defer close(b.over)
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.at(func(t *table) {
			if answer := t.answers[m.ID]; answer != nil {
				delete(t.answers, m.ID)
				answer <- m
			} else if p := t.pages[m.Session]; p != nil && m.Method != "" {
				p.event(m)
			}
		})
	}
}

// send sends a call; its answer comes by the channel.
func (b *Browser) send(session, method string, params any) (chan message, error) {
	if params == nil {
		params = struct{}{}
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	m := message{ID: b.last.Add(1), Session: session, Method: method, Params: raw}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	answer := make(chan message, 1)
	b.at(func(t *table) {
		t.answers[m.ID] = answer
		_, err = b.to.Write(append(text, 0)) // one at a time
	})
	return answer, err
}

// call makes a call and waits for its result.
func (b *Browser) call(session, method string, params, result any) error {
	answer, err := b.send(session, method, params)
	if err != nil {
		return err
	}
	select {
	case m := <-answer:
		switch {
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result != nil:
			return json.Unmarshal(m.Result, result)
		}
		return nil
	case <-b.over:
		return errors.New("the browser has ended")
	case <-time.After(Patience):
		return fmt.Errorf("%s: no answer", method)
	}
}
