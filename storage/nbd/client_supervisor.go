package nbd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Errors of a client.
var (
	// ErrConnectionLost is the error of calls whose connection was lost, with the
	// reason, where they are not sent again.
	ErrConnectionLost = errors.New("nbd: the connection to the server was lost")
	// ErrExportChanged ends a client that finds another export than before when it
	// connects again: one of another size, or that lacks a power that was used.
	ErrExportChanged = errors.New("nbd: the export has changed")
	// ErrUnflushedLost is the error of the first Sync after a connection was lost,
	// while there were acknowledged writes that were not durable.
	ErrUnflushedLost = errors.New("nbd: writes that were not flushed may be lost")
)

// Bounds of the wait between tries to connect.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// supervise is the process that owns the links. It starts their processes, waits until
// one is lost, stops all, and connects again: as soon as one connection is lost the
// others are not used any more, since what is sent again must come before anything
// new. It blocks in waiting for links and in connecting, and ends with Close or when
// the client has no way to go on.
func (c *Client) supervise(links []*clientLink) {
	defer close(c.ended)
	defer c.cancel()
	for {
		err := c.watch(links)
		closing := errors.Is(err, block.ErrClosed)
		var pending []*call
		for _, l := range links {
			l.gentle.Store(closing)
			calls, why := l.left()
			pending = append(pending, calls...)
			if !closing && (err == nil || errors.Is(err, errStopped)) {
				err = why
			}
		}
		if !closing {
			err = fmt.Errorf("%w: %w", ErrConnectionLost, err)
			if c.reconnecting() {
				pending = c.sift(pending, err)
				c.unflushed.reconnected(fmt.Errorf("%w: %w", ErrUnflushedLost, err))
				if links, err = c.reconnect(err); err == nil {
					for i, k := range pending {
						l := links[i%len(links)]
						l.first = append(l.first, k)
					}
					c.reconnects.Add(1)
					continue
				}
			}
		}
		c.err = err
		close(c.dead)
		for _, k := range pending {
			c.finish(k, err)
		}
		return
	}
}

// reconnecting says whether the client makes lost connections again.
func (c *Client) reconnecting() bool { return c.dial != nil && c.dialer.ReconnectTimeout > 0 }

// watch runs the links and returns when one is lost or the client is closed: then
// block.ErrClosed.
func (c *Client) watch(links []*clientLink) error {
	lost := make(chan struct{}, 2*len(links))
	for _, l := range links {
		l.start(lost)
	}
	var tick <-chan time.Time
	if c.dialer.RequestTimeout > 0 {
		t := time.NewTicker(c.dialer.RequestTimeout)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-c.ctx.Done():
			return block.ErrClosed
		case <-lost:
			return nil
		case <-tick:
			for _, l := range links {
				if l.silent() {
					return errSilent
				}
			}
		}
	}
}

// sift ends those calls that are not to be sent again and returns the others.
func (c *Client) sift(pending []*call, err error) (again []*call) {
	for _, k := range pending {
		switch {
		case k.state.Load() == callAbandoned:
			c.finish(k, errAbandoned)
		case changes(k.req.cmd) && c.dialer.Replay == ReplayReads, k.req.cmd == cmdResize:
			c.finish(k, err)
		default:
			again = append(again, k)
		}
	}
	return again
}

// reconnect makes as many links as there were, and sends again what was not flushed.
func (c *Client) reconnect(why error) ([]*clientLink, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.dialer.ReconnectTimeout)
	defer cancel()
	pause := firstRetry
	for {
		links, err := c.redial(ctx)
		switch {
		case err == nil:
			return links, nil
		case c.ctx.Err() != nil:
			return nil, block.ErrClosed
		case errors.Is(err, ErrExportChanged):
			return nil, err
		case ctx.Err() == nil:
			why = fmt.Errorf("%w: %w", ErrConnectionLost, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			if c.ctx.Err() != nil {
				return nil, block.ErrClosed
			}
			return nil, why
		case <-timer.C:
		}
		pause = min(2*pause, lastRetry)
	}
}

// redial makes the links once.
func (c *Client) redial(ctx context.Context) (links []*clientLink, err error) {
	defer func() {
		if err != nil {
			for _, l := range links {
				l.conn.Close()
			}
		}
	}()
	for range c.connections {
		o, err := c.dial(ctx)
		if err != nil {
			return links, err
		}
		links = append(links, newLink(c, o))
		was := &opened{info: c.info, style: c.style}
		was.info.Size = c.size.Load()
		if err := sameExport(was, o); err != nil {
			return links, err
		}
	}
	return links, c.restore(ctx, links[0])
}

// restore sends again, one after another, what was acknowledged and not made durable,
// and a FLUSH. What the server refuses is lost, and told by the next Sync.
func (c *Client) restore(ctx context.Context, l *clientLink) error {
	c.unflushed.mu.Lock()
	var writes []*unflushedWrite
	for _, w := range c.unflushed.writes {
		if w.acked {
			writes = append(writes, w)
		}
	}
	c.unflushed.mu.Unlock()
	if len(writes) == 0 {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var refused error
	for _, w := range writes {
		again, err := l.roundTrip(w.req, w.data)
		if err != nil {
			return err
		}
		refused = errors.Join(refused, again)
		if refused != nil {
			break
		}
	}
	if refused == nil && c.info.Flags.Has(FlagSendFlush) {
		var err error
		if refused, err = l.roundTrip(request{cmd: cmdFlush}, nil); err != nil {
			return err
		}
	}
	if !stop() {
		return ctx.Err()
	}
	if refused != nil {
		c.unflushed.refused(fmt.Errorf("%w: %w", ErrUnflushedLost, refused))
	}
	c.unflushed.forget(writes)
	return nil
}

// roundTrip does one request on a link whose processes do not run yet. It tells the
// error of the reply and that of the link.
func (l *clientLink) roundTrip(r request, payload []byte) (refused, err error) {
	k := l.client.newCall(r)
	k.payload = payload
	if err := l.send(k, <-l.slots); err != nil {
		return nil, err
	}
	if err := l.out.Flush(); err != nil {
		return nil, err
	}
	for len(k.done) == 0 {
		if err := l.readReply(); err != nil {
			return nil, err
		}
	}
	<-k.done
	refused = k.err
	l.client.free(k)
	return refused, nil
}

// sameExport says whether a connection leads to the same export as another one did.
func sameExport(was, is *opened) error {
	switch {
	case is.info.Size != was.info.Size:
		return fmt.Errorf("%w: it had %d bytes and has %d", ErrExportChanged, was.info.Size, is.info.Size)
	case !is.info.Flags.Has(was.info.Flags &^ (FlagSendDF | FlagBlockStatusPayload | FlagRotational | FlagReadOnly)):
		return fmt.Errorf("%w: it could %v and can %v", ErrExportChanged, was.info.Flags, is.info.Flags)
	case is.info.Flags.Has(FlagReadOnly) != was.info.Flags.Has(FlagReadOnly):
		return fmt.Errorf("%w: whether it takes writes", ErrExportChanged)
	case is.info.MinimumBlockSize != was.info.MinimumBlockSize || is.info.maxPayload() < was.info.maxPayload():
		return fmt.Errorf("%w: its block sizes", ErrExportChanged)
	case is.style < was.style:
		return fmt.Errorf("%w: its replies are not as they were", ErrExportChanged)
	}
	for _, c := range was.info.Contexts {
		found := false
		for _, other := range is.info.Contexts {
			found = found || c == other
		}
		if !found {
			return fmt.Errorf("%w: the meta context %q is gone", ErrExportChanged, c)
		}
	}
	return nil
}
