package packetdrill

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// Poll and epoll_wait have no like in package tcp, whose calls block. Here they
// are what its state says: how much waits to be read, and how much may be
// written. The runner looks at that itself, after all that happens and each
// millisecond of a wait.

// An events is a set of what poll and epoll tell, with the values that both
// have.
type events uint

const (
	eventIn       events = 0x001
	eventPriority events = 0x002
	eventOut      events = 0x004
	eventError    events = 0x008
	eventHangUp   events = 0x010
	eventInvalid  events = 0x020
	eventReadHup  events = 0x2000
)

// eventNames are their names behind POLL and EPOLL, and the flags of epoll.
var eventNames = map[string]events{
	"IN": eventIn, "PRI": eventPriority, "OUT": eventOut, "ERR": eventError, "HUP": eventHangUp,
	"NVAL": eventInvalid, "RDHUP": eventReadHup, "RDNORM": 0x40, "WRNORM": 0x100,
	"ET": edge, "ONESHOT": once,
}

// Flags of epoll.
const (
	edge events = 1 << 31
	once events = 1 << 30
)

// events reads "POLLIN|POLLOUT" or "EPOLLIN|EPOLLET".
func (v *value) events(prefix string) (set events, err error) {
	for _, w := range v.words {
		e, ok := eventNames[strings.TrimPrefix(w, prefix)]
		if !ok || !strings.HasPrefix(w, prefix) {
			return 0, fmt.Errorf("no event %s", w)
		}
		set |= e
	}
	return set | events(v.number), nil
}

func (set events) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(eventNames)) {
		if set&eventNames[name] != 0 {
			words = append(words, name)
		}
	}
	if len(words) == 0 {
		return "0"
	}
	return strings.Join(words, "|")
}

// always are events that are told unasked.
const always = eventError | eventHangUp | eventInvalid

// ready is what holds for a descriptor.
func (r *run) ready(fd int64) events {
	if p, ok := r.pipes[fd]; ok {
		return p.ready()
	}
	s, ok := r.sockets[fd]
	if !ok {
		return eventInvalid
	}
	s.look()
	switch {
	case s.listener != nil:
		return s.listenerReady()
	case s.conn != nil:
		return s.connReady()
	case s.deferred:
		return eventOut
	case s.dialling():
		return 0
	case s.dial != nil: // it has failed
		return eventIn | eventOut | eventError | eventHangUp | eventReadHup
	}
	return eventOut | eventHangUp // no connection yet
}

func (p *pipe) ready() (set events) {
	switch {
	case p.writes && p.len < pipeSize:
		set = eventOut
	case !p.writes && p.len > 0:
		set = eventIn
	}
	if p.writes && !p.readers {
		set |= eventError
	}
	if !p.writes && !p.writers {
		set |= eventHangUp
	}
	return set
}

// listenerReady accepts what waits, to see whether there is something.
func (s *socket) listenerReady() events {
	atOnceOnly(s.listener.SetDeadline, func() {
		if c, err := s.listener.AcceptTCP(); err == nil {
			s.waiting = append(s.waiting, c)
		}
	})
	if len(s.waiting) > 0 {
		return eventIn
	}
	return 0
}

// connReady asks the state of a connection.
func (s *socket) connReady() (set events) {
	i := s.conn.Info()
	if i.ReceiveQueue > 0 {
		set |= eventIn
	}
	if i.Urgent > 0 {
		set |= eventPriority
	}
	if peerHasClosed(i.State) {
		set |= eventIn | eventReadHup
	}
	// As Linux: a third of the buffer must be free, so that a writer does not
	// wake for each byte.
	writable := i.SendBuffer-i.SendQueue >= i.SendQueue/2 && i.SendQueue < i.SendBuffer
	if writable || s.shutWrite {
		set |= eventOut
	}
	if i.State == tcp.Closed {
		set |= eventOut | eventHangUp
		if i.ReceiveQueue == 0 && s.failed() {
			set |= eventError
		}
	}
	if s.shutWrite && peerHasClosed(i.State) {
		set |= eventHangUp
	}
	return set
}

// failed says whether a connection that has ended did so by an error.
func (s *socket) failed() bool {
	var err error
	atOnceOnly(s.conn.SetReadDeadline, func() { _, err = s.conn.Read(make([]byte, 1)) })
	return err != nil && err != io.EOF && !isTimeout(err)
}

// atOnceOnly lets a call do what it can without waiting. A deadline that has
// passed already would have it do nothing.
func atOnceOnly(setDeadline deadline, call func()) {
	done := make(chan struct{})
	go func() {
		call()
		close(done)
	}()
	synctest.Wait()
	setDeadline(time.Now())
	<-done
	setDeadline(time.Time{})
}

func isTimeout(err error) bool { return errnoName(err) == errnoNames[os.ErrDeadlineExceeded] }

// peerHasClosed says whether the peer's FIN has come, or nothing will come any
// more.
func peerHasClosed(s tcp.State) bool {
	switch s {
	case tcp.CloseWait, tcp.LastAck, tcp.Closing, tcp.TimeWait, tcp.Closed:
		return true
	}
	return false
}

// A poller is a call that waits until something is ready: it says what the
// call returns, and whether it does so now.
type poller func() (outcome, bool)

// poller begins poll or epoll_wait; forever is a timeout that never ends.
func (r *run) poller(c *call) (p poller, timeout time.Duration, err error) {
	ms := c.args[len(c.args)-1]
	if !ms.isNum {
		return nil, 0, fmt.Errorf("the timeout is in milliseconds")
	}
	if timeout = time.Duration(ms.number) * time.Millisecond; timeout < 0 {
		timeout = forever
	}
	if c.name == "poll" {
		p, err = r.callPoll(c)
	} else {
		p, err = r.callEpollWait(c)
	}
	return p, timeout, err
}

const forever = time.Duration(1<<63 - 1)

// callPoll is "poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 1000)".
func (r *run) callPoll(c *call) (poller, error) {
	type entry struct {
		fd           int64
		asks, wanted events
	}
	var all []entry
	for _, v := range c.args[0].list {
		asks, asked, returned := entry{}, v.fields["events"], v.fields["revents"]
		asks.fd = v.field("fd").number
		var err error
		if asks.asks, err = asked.events("POLL"); err == nil {
			asks.wanted, err = returned.events("POLL")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, asks)
	}
	if int64(len(all)) != c.args[1].number {
		return nil, fmt.Errorf("there are %d descriptors, not %v", len(all), c.args[1])
	}
	return func() (outcome, bool) {
		n := 0
		var err error
		for _, e := range all {
			got := r.ready(e.fd) & (e.asks | always)
			if got != 0 {
				n++
			}
			if got != e.wanted && err == nil {
				err = fmt.Errorf("revents of %d as %v", e.fd, got)
			}
		}
		return outcome{n: n, err: err}, n > 0
	}, nil
}

// field is a field by its name; the zero value when there is none.
func (v *value) field(name string) value { return v.fields[name] }

// An epoll is an instance of epoll(7).
type epoll struct{ watches map[int64]*watch }

// A watch is what one is interested in.
type watch struct {
	asks     events
	data     value // fd, ptr, u32 or u64
	disabled bool  // by EPOLLONESHOT

	// What was told before, for EPOLLET.
	told     events
	received uint64
}

func (r *run) callEpollCreate(c *call) (work, deadline, error) {
	if err := r.free(c.result); err != nil {
		return nil, nil, err
	}
	r.epolls[c.result] = &epoll{watches: make(map[int64]*watch)}
	return atOnce(int(c.result), nil), nil, nil
}

// member is the data of an epoll_event: the member of the union that is named.
func (v *value) member() value {
	for _, name := range [...]string{"fd", "ptr", "u32", "u64"} {
		if m, ok := v.fields[name]; ok {
			return m
		}
	}
	return value{}
}

// callEpollCtl is "epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4})".
func (r *run) callEpollCtl(c *call) (work, deadline, error) {
	e, ok := r.epolls[c.args[0].number]
	if !ok {
		return nil, nil, fmt.Errorf("there is no epoll %v", c.args[0])
	}
	fd := c.args[2].number
	if r.ready(fd) == eventInvalid {
		return atOnce(0, syscall.EBADF), nil, nil
	}
	asked := c.args[3].field("events")
	asks, err := asked.events("EPOLL")
	if err != nil {
		return nil, nil, err
	}
	_, there := e.watches[fd]
	switch op := &c.args[1]; {
	case op.is("EPOLL_CTL_ADD") && there:
		err = syscall.EEXIST
	case !op.is("EPOLL_CTL_ADD") && !there:
		err = syscall.ENOENT
	case op.is("EPOLL_CTL_DEL"):
		delete(e.watches, fd)
	case op.is("EPOLL_CTL_ADD"), op.is("EPOLL_CTL_MOD"):
		e.watches[fd] = &watch{asks: asks, data: c.args[3].member()}
	default:
		return nil, nil, fmt.Errorf("epoll_ctl knows EPOLL_CTL_ADD, MOD and DEL, not %v", op)
	}
	return atOnce(0, err), nil, nil
}

// callEpollWait is "epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0)"; several events
// stand in a list, in any order.
func (r *run) callEpollWait(c *call) (poller, error) {
	e, ok := r.epolls[c.args[0].number]
	if !ok {
		return nil, fmt.Errorf("there is no epoll %v", c.args[0])
	}
	wanted := c.args[1].list
	if !c.args[1].isList {
		wanted = []value{c.args[1]}
	}
	return func() (outcome, bool) {
		var got []string
		for _, fd := range slices.Sorted(maps.Keys(e.watches)) {
			if set := r.occurred(e.watches[fd], fd); set != 0 && int64(len(got)) < c.args[2].number {
				r.tell(e.watches[fd], fd, set)
				got = append(got, fmt.Sprintf("%v of %v", set, e.watches[fd].data))
			}
		}
		if len(got) == 0 {
			return outcome{}, false
		}
		var want []string
		for _, v := range wanted {
			field := v.field("events")
			set, err := field.events("EPOLL")
			if err != nil {
				return outcome{err: err}, true
			}
			want = append(want, fmt.Sprintf("%v of %v", set, v.member()))
		}
		o := outcome{n: len(got)}
		if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			o.err = fmt.Errorf("events as %s", strings.Join(got, " and "))
		}
		return o, true
	}, nil
}

// occurred is what there is to tell of a watched descriptor: all that holds or,
// with EPOLLET, the same when something of it is new.
func (r *run) occurred(w *watch, fd int64) events {
	set := r.ready(fd) & (w.asks | always)
	if w.disabled {
		return 0
	}
	if w.asks&edge == 0 {
		return set
	}
	s := r.sockets[fd]
	fresh := set &^ w.told
	if s != nil && s.conn != nil {
		if n := s.conn.Info().BytesReceived; n != w.received && set&eventIn != 0 {
			fresh |= eventIn
			w.received = n
		}
		if s.noSpace && set&eventOut != 0 { // a write had found no room, and now there is some
			fresh |= eventOut
		}
	}
	w.told &= set | eventOut
	if fresh == 0 {
		return 0
	}
	return set
}

// tell notes that a set was told of a descriptor.
func (r *run) tell(w *watch, fd int64, set events) {
	w.told |= set
	w.disabled = w.asks&once != 0
	if s := r.sockets[fd]; s != nil && set&eventOut != 0 {
		s.noSpace = false
	}
}
