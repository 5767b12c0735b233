package api

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"github.com/coder/websocket"
)

// Of a WebSocket.
const (
	socketPace  = 100 * time.Millisecond // events come at most so often
	socketWrite = 10 * time.Second       // a client that takes an event no sooner is given up
	socketPing  = 15 * time.Second
	maxEvent    = 4 << 10 // bytes of what a client sends
)

// eventJSON is a message either way.
type eventJSON struct {
	Type  string `json:"event_type"`
	Event any    `json:"event"`
}

// socket sends events until the client goes.
func (s *Server) socket(r *request) (any, error) {
	d, err := s.drive(r)
	if err != nil {
		return nil, err
	}
	conn, err := websocket.Accept(r.w, r.http, nil) // looks at the origin
	if err != nil {
		return streamed{}, nil // it has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxEvent)
	ctx, cancel := context.WithCancel(r.context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	pongs := make(chan websocket.MessageType, 1)
	go func() {
		defer cancel()
		s.hear(ctx, conn, pongs)
	}()
	send := func(kind string, event any) error {
		text, err := json.Marshal(eventJSON{kind, event})
		if err != nil {
			return err
		}
		late, stop := context.WithTimeout(ctx, socketWrite)
		defer stop()
		return conn.Write(late, websocket.MessageText, text)
	}
	if send("loop", map[string]any{"version": "gonet"}) != nil {
		return streamed{}, nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	lastPing := time.Now()
	var traffic trafficJSON
	var old stateJSON
	jobs := map[int64]jobJSON{}
	for {
		state, driveChanged := d.State()
		store, storeChanged := s.config.Store.State()
		now := makeState(state, store)
		if changes := diff(old, now); changes != nil {
			if send("msd", changes) != nil {
				return streamed{}, nil
			}
			old = now
		}
		if t := makeTraffic(state.Traffic); t != traffic {
			traffic = t
			if send("msd_traffic", t) != nil {
				return streamed{}, nil
			}
		}
		if all := s.jobs.list(); !reflect.DeepEqual(all, jobs) {
			jobs = all
			if send("msd_jobs", map[string]any{"jobs": all}) != nil {
				return streamed{}, nil
			}
		}
		select {
		case <-ctx.Done():
			return streamed{}, nil
		case kind := <-pongs:
			if kind == websocket.MessageText {
				err = send("pong", struct{}{})
			} else {
				err = conn.Write(ctx, websocket.MessageBinary, []byte{255})
			}
		case <-driveChanged:
			err = pause(ctx)
		case <-storeChanged:
			err = pause(ctx)
		case <-tick.C:
			if time.Since(lastPing) > socketPing {
				lastPing = time.Now()
				late, stop := context.WithTimeout(ctx, socketWrite)
				err = conn.Ping(late)
				stop()
			}
		}
		if err != nil {
			return streamed{}, nil
		}
	}
}

// pause lets changes gather that come together.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(socketPace):
		return nil
	}
}

// hear reads what a client sends: pings, as text or as one byte of zero.
func (s *Server) hear(ctx context.Context, conn *websocket.Conn, pongs chan<- websocket.MessageType) {
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var e struct {
			Type string `json:"event_type"`
		}
		switch {
		case kind == websocket.MessageBinary && len(data) > 0 && data[0] == 0:
		case kind == websocket.MessageText && json.Unmarshal(data, &e) == nil && e.Type == "ping":
		default:
			continue
		}
		select {
		case pongs <- kind:
		default: // one is to be answered already
		}
	}
}
