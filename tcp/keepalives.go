package tcp

import (
	"container/heap"
	"time"
)

// keepAlives are the keep-alive timers of connections that sleep: a heap, at
// most one of each. Conn.alarm is where that of a connection stands, from 1.
type keepAlives []keepAlive

type keepAlive struct {
	at   time.Time
	conn *Conn
}

// add sets the timer of c, which has none.
func (k *keepAlives) add(c *Conn, at time.Time) { heap.Push(k, keepAlive{at, c}) }

// remove ends the timer of c, and returns when it would have fired; zero for
// never.
func (k *keepAlives) remove(c *Conn) time.Time {
	if c.alarm == 0 {
		return time.Time{}
	}
	return heap.Remove(k, int(c.alarm)-1).(keepAlive).at
}

// deadline is when the first is due; zero for never.
func (k keepAlives) deadline() time.Time {
	if len(k) == 0 {
		return time.Time{}
	}
	return k[0].at
}

// These are heap.Interface.

func (k keepAlives) Len() int           { return len(k) }
func (k keepAlives) Less(i, j int) bool { return k[i].at.Before(k[j].at) }

func (k keepAlives) Swap(i, j int) {
	k[i], k[j] = k[j], k[i]
	k[i].conn.alarm, k[j].conn.alarm = int32(i+1), int32(j+1)
}

func (k *keepAlives) Push(x any) {
	*k = append(*k, x.(keepAlive))
	(*k)[len(*k)-1].conn.alarm = int32(len(*k))
}

func (k *keepAlives) Pop() any {
	last := len(*k) - 1
	x := (*k)[last]
	(*k)[last] = keepAlive{}
	*k = (*k)[:last]
	x.conn.alarm = 0
	return x
}

// deadline is when expire has something to do; zero for never.
func (d *demux) deadline() time.Time {
	at := earliest(d.door.deadline(), d.keepAlives.deadline())
	if len(d.idle) > 0 && d.running == 0 {
		at = earliest(at, d.answerUntil)
	}
	return at
}

// expire is that of the door, and wakes connections that are to probe their
// peers. At the end of a stack it tells that challenges are over.
func (d *demux) expire(now time.Time) {
	d.tellIdle(now)
	d.door.expire(now)
	for due(d.keepAlives.deadline(), now) {
		d.wake(d.conns[d.keepAlives[0].conn.flow])
	}
}
