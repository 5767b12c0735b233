package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// A monitor is QEMU's own ear: its protocol QMP over a unix socket.
type monitor struct {
	path string
	conn net.Conn
	in   *bufio.Reader
}

func newMonitor(dir string) *monitor { return &monitor{path: filepath.Join(dir, "qmp")} }

func (m *monitor) arguments() []string {
	return []string{"-qmp", "unix:" + m.path + ",server=on,wait=off"}
}

// open waits until QEMU listens, and greets it.
func (m *monitor) open(ended <-chan struct{}) (err error) {
	for m.conn == nil {
		if m.conn, err = net.Dial("unix", m.path); err == nil {
			break
		}
		select {
		case <-ended:
			return errors.New("QEMU has ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
	m.conn.SetDeadline(time.Now().Add(7 * time.Minute))
	m.in = bufio.NewReader(m.conn)
	if _, err := m.in.ReadBytes('\n'); err != nil {
		return err
	}
	_, err = m.do("qmp_capabilities", nil)
	return err
}

// do sends a command, and waits for what it returns; events are passed over.
func (m *monitor) do(command string, arguments any) (json.RawMessage, error) {
	say := map[string]any{"execute": command}
	if arguments != nil {
		say["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(say); err != nil {
		return nil, err
	}
	for {
		line, err := m.in.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command, err, line)
		}
		if answer.Error != nil {
			return nil, fmt.Errorf("%s: %s", command, answer.Error.Desc)
		}
		if answer.Return != nil {
			return answer.Return, nil
		}
	}
}

// Command gives QEMU a command of QMP, and returns what it answers. One goroutine calls
// it at a time.
func (g *Guest) Command(command string, arguments any) (json.RawMessage, error) {
	if g.monitor.conn == nil {
		if err := g.monitor.open(g.ended); err != nil {
			return nil, err
		}
	}
	return g.monitor.do(command, arguments)
}

// Migrate moves the guest into another QEMU on this machine, which was started with the
// same devices and "-incoming unix:PATH", while it runs, and returns when that has it.
// What the job tells from then on the other one hears. This one should be killed then.
func (g *Guest) Migrate(path string) error {
	if _, err := g.Command("migrate", map[string]any{"uri": "unix:" + path}); err != nil {
		return err
	}
	for {
		answer, err := g.Command("query-migrate", nil)
		if err != nil {
			return err
		}
		var state struct {
			Status string
			Error  string `json:"error-desc"`
		}
		if err := json.Unmarshal(answer, &state); err != nil {
			return err
		}
		switch state.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("the migration has %s: %s", state.Status, state.Error)
		}
		select {
		case <-g.ended:
			return errors.New("QEMU has ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
