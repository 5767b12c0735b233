// Package qmp gives a QEMU that tests have started commands: the QEMU Machine Protocol.
package qmp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"time"
)

// Args are arguments for a QEMU that has its socket at path.
func Args(path string) []string { return []string{"-qmp", "unix:" + path + ",server=on,wait=off"} }

// A Client is a connection to one QEMU.
type Client struct {
	c net.Conn
	r *bufio.Reader
}

// A reply is one message: a greeting, an answer, an error or an event.
type reply struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Event    string          `json:"event"`
	Error    *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

// timeout is how long a QEMU may take to start, or to answer, on a busy machine.
const timeout = time.Minute

// Dial connects to the socket, which may be there only later.
func Dial(path string) (*Client, error) {
	for end := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err == nil {
			q := &Client{c, bufio.NewReader(c)}
			if _, err = q.next(); err == nil {
				_, err = q.Do("qmp_capabilities", nil)
			}
			if err != nil {
				c.Close()
			}
			return q, err
		}
		if time.Now().After(end) {
			return nil, err
		}
	}
}

// Close leaves the QEMU.
func (q *Client) Close() error { return q.c.Close() }

// next reads a message that is no event.
func (q *Client) next() (r reply, err error) {
	q.c.SetReadDeadline(time.Now().Add(timeout))
	for {
		line, err := q.r.ReadBytes('\n')
		if err != nil {
			return r, err
		}
		if r = (reply{}); json.Unmarshal(line, &r) != nil {
			return r, fmt.Errorf("qmp: %q", line)
		}
		if r.Event == "" {
			return r, nil
		}
	}
}

// Do gives a command with arguments, which may be nil, and returns the answer.
func (q *Client) Do(command string, arguments map[string]any) (json.RawMessage, error) {
	m := map[string]any{"execute": command}
	if arguments != nil {
		m["arguments"] = arguments
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if _, err := q.c.Write(append(text, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	r, err := q.next()
	if err == nil && r.Error != nil {
		err = fmt.Errorf("%s", r.Error.Desc)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return r.Return, nil
}

// PlugMemory gives the guest more memory, which back ends of vhost-user share, by a device:
// pc-dimm, or virtio-mem-pci. QEMU must have been started with room for it (-m
// 384,slots=1,maxmem=1G).
func (q *Client) PlugMemory(device string, size int, options map[string]any) error {
	if _, err := q.Do("object-add", map[string]any{"qom-type": "memory-backend-memfd", "id": "more", "size": size, "share": true}); err != nil {
		return err
	}
	arguments := map[string]any{"driver": device, "id": "plugged", "memdev": "more"}
	maps.Copy(arguments, options)
	_, err := q.Do("device_add", arguments)
	return err
}

// Migrate has the guest go to the QEMU that waits for it (-incoming) at uri, and
// returns when it runs there. It reports how long the guest stood still, as this QEMU
// says.
func (q *Client) Migrate(uri string) (downtime time.Duration, err error) {
	// As fast as it can, so that a guest that writes much is caught up with.
	if _, err := q.Do("migrate-set-parameters", map[string]any{"max-bandwidth": 4 << 30}); err != nil {
		return 0, err
	}
	if _, err := q.Do("migrate", map[string]any{"uri": uri}); err != nil {
		return 0, err
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, err := q.Do("query-migrate", nil)
		if err != nil {
			return 0, err
		}
		var info struct {
			Status   string `json:"status"`
			Downtime int    `json:"downtime"` // ms
			Error    string `json:"error-desc"`
		}
		if err := json.Unmarshal(text, &info); err != nil {
			return 0, err
		}
		switch info.Status {
		case "completed":
			return time.Duration(info.Downtime) * time.Millisecond, nil
		case "failed", "cancelled":
			return 0, fmt.Errorf("qmp: the migration has %s: %s", info.Status, info.Error)
		}
	}
	return 0, fmt.Errorf("qmp: the migration does not end")
}

// Memory is the arguments for a QEMU whose guest has its memory in a file, which the QEMU
// that the guest moves to has as well: see MoveShared.
func Memory(path string) []string {
	return []string{"-object", "memory-backend-file,id=mem,size=384M,share=on,mem-path=" + path, "-machine", "memory-backend=mem"}
}

// MoveShared has a guest go from one QEMU to another on this machine, which has been
// started with -incoming defer and has the same memory: see Memory. They speak by the
// socket path. It reports how long the guest stood still.
//
// The memory need not be copied then. With TCG QEMU 7.2 loses stores of the guest's when
// it copies memory, and guests die of it, whatever devices they have: a store of which it
// has checked that the page need not be marked may come after the page has been copied.
func MoveShared(from, to *Client, path string) (downtime time.Duration, err error) {
	shared := map[string]any{"capabilities": []any{map[string]any{"capability": "x-ignore-shared", "state": true}}}
	for _, q := range []*Client{from, to} {
		if _, err := q.Do("migrate-set-capabilities", shared); err != nil {
			return 0, err
		}
	}
	if _, err := to.Do("migrate-incoming", map[string]any{"uri": "unix:" + path}); err != nil {
		return 0, err
	}
	return from.Migrate("unix:" + path)
}
