package stack

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// FuzzStack changes the frames between two stacks that speak ARP, ICMP, UDP
// and TCP with each other. What arrives may be anything: the stacks must not
// panic, hang or leak.
func FuzzStack(f *testing.F) {
	f.Add([]byte{})
	for _, op := range []byte{opDrop, opTwice, opFlip, opSet, opCut, opGrow, opReplay, opExtreme, opError} {
		f.Add([]byte{0, 0, 0, op, 1, 2, 3, 4, 0, 0, op | bitFix, 0, 40, 9, 0, op | bitFix | bitTransport, 0, 20, 1, 1})
	}
	for seed := range uint64(50) {
		random, program := rand.New(rand.NewPCG(seed, 0)), make([]byte, 600)
		for i := range program {
			program[i] = byte(random.Uint32())
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		inBubble(t, func(t *testing.T) { fuzzStack(t, program) })
	})
}

// fuzzStack runs a short conversation, of which program changes the frames.
func fuzzStack(t *testing.T, program []byte) {
	la, lb := link.Pipe(link.PipeConfig{MTU: 600})
	wire := link.Impairment{Delay: time.Millisecond} // cuts trains too, and completes checksums
	la = link.Impair(mutate(la, program), wire)
	p := pair{newHost(t, la, "10.0.0.1/24", 1), newHost(t, link.Impair(lb, wire), "10.0.0.2/24", 2)}
	defer p.close()

	go echo(listen(t, p.b, ":7"))
	u := listenUDP(t, p.b, ":7")
	u.JoinGroup(netip.MustParseAddr("239.1.2.3"), 0)
	go func() {
		buf := make([]byte, 5000)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo(buf[:n], from)
		}
	}()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p.a.Ping(ctx, netip.MustParseAddr("10.0.0.2"))
	d := dialUDP(t, p.a, "10.0.0.2:7")
	d.SetDeadline(time.Now().Add(time.Minute))
	for _, n := range []int{0, 100, 4000} { // the last in fragments
		d.Write(make([]byte, n))
		d.Read(make([]byte, 5000))
	}
	if c, err := p.a.DialContext(ctx, "tcp", "10.0.0.2:7"); err == nil {
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Write(payload(5000))
		c.Read(make([]byte, 5000))
		c.Write(payload(5000))
		c.Close()
	}
	time.Sleep(10 * time.Minute)
}

// What is done to a frame: the low four bits of a byte of the program.
const (
	opDrop    = 6 + iota // less is nothing
	opTwice              // send it twice
	opFlip               // flip a bit
	opSet                // set a byte
	opCut                // cut the end off
	opGrow               // put something behind the end
	opReplay             // send an old frame too, of either direction
	opExtreme            // set two or four bytes to an extreme value
	opError              // send an ICMP error about it back
	opAgain              // two changes, by the next bytes

	bitTransport = 0x40 // change the headers behind IP's, not any byte
	bitFix       = 0x80 // make the checksums right again
)

// A mutator changes frames by a program. When that ends they pass unchanged.
type mutator struct {
	program []byte
	old     [8][]byte
	n       int // how many frames have passed
}

func (m *mutator) next() int {
	if len(m.program) == 0 {
		return 0
	}
	b := m.program[0]
	m.program = m.program[1:]
	return int(b)
}

// mutate is a link on which a mutator works, in both directions.
func mutate(l link.Link, program []byte) link.Link {
	m := &mutator{program: program}
	tx, rx := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	go m.run(tx, l.Rx, l.Tx, rx)
	l.Tx, l.Rx = tx, rx
	return l
}

// run passes frames from sent to tx, and from arrived to rx.
func (m *mutator) run(sent, arrived <-chan *packet.Buffer, tx, rx chan<- *packet.Buffer) {
	defer close(rx)
	toRx := func(b *packet.Buffer) { send(rx, b) }
	toTx := func(b *packet.Buffer) {
		if sent == nil { // closed
			b.Release()
			return
		}
		tx <- b
	}
	for sent != nil || arrived != nil {
		select {
		case b, ok := <-sent:
			if ok {
				m.pass(b, toTx, toRx)
				continue
			}
			close(tx)
			sent = nil
		case b, ok := <-arrived:
			if ok {
				m.pass(b, toRx, toTx)
				continue
			}
			arrived = nil
		}
	}
}

// send drops what nobody takes.
func send(to chan<- *packet.Buffer, b *packet.Buffer) {
	select {
	case to <- b:
	default:
		b.Release()
	}
}

// pass sends b on, or what the program makes of it; back leads to its sender.
func (m *mutator) pass(b *packet.Buffer, on, back func(*packet.Buffer)) {
	op := m.next()
	frame := append([]byte(nil), b.Bytes()...)
	b.Release()
	m.old[m.n%len(m.old)] = append([]byte(nil), frame...)
	m.n++
	if op&15 == opDrop {
		return
	}
	frame = m.change(op, frame, back)
	if op&bitFix != 0 {
		fixChecksums(frame)
	}
	on(packet.From(frame))
	if op&15 == opTwice {
		on(packet.From(frame))
	}
	if old := m.old[op>>4%len(m.old)]; op&15 == opReplay && old != nil {
		on(packet.From(old))
	}
}

// change does to a frame what op says.
func (m *mutator) change(op int, frame []byte, back func(*packet.Buffer)) []byte {
	at := m.at(op, frame)
	switch op & 15 {
	case opFlip:
		frame[at] ^= 1 << (m.next() % 8)
	case opSet:
		frame[at] = byte(m.next())
	case opCut:
		frame = frame[:at]
	case opGrow:
		frame = append(frame, make([]byte, m.next())...)
	case opExtreme:
		value := []uint32{0, 1, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff}[m.next()%8]
		if at+4 <= len(frame) && value > 0xffff {
			binary.BigEndian.PutUint32(frame[at:], value)
		} else if at+2 <= len(frame) {
			binary.BigEndian.PutUint16(frame[at:], uint16(value))
		}
	case opError:
		if e := m.icmpError(frame); e != nil {
			back(packet.From(e))
		}
	case opAgain:
		for range 2 {
			if len(frame) > 0 {
				frame = m.change(m.next()&15|op&bitTransport, frame, back)
			}
		}
	}
	return frame
}

// at is where in the frame something changes.
func (m *mutator) at(op int, frame []byte) int {
	if op&15 <= opTwice {
		return 0
	}
	at := m.next()<<8 | m.next()
	const ports = 14 + 20 // behind the headers of Ethernet and IP
	if op&bitTransport != 0 && len(frame) > ports {
		return ports + at%min(40, len(frame)-ports)
	}
	return at % len(frame)
}

// icmpError is an ICMP message to the sender of an IPv4 frame, which quotes it.
func (m *mutator) icmpError(frame []byte) []byte {
	if len(frame) < 14+28 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return nil
	}
	e := make([]byte, 14+20+8, 14+20+8+28)
	copy(e, frame[6:12])
	copy(e[6:], frame[:6])
	e[12] = 8
	ip, message := e[14:34], e[34:42]
	ip[0], ip[8], ip[9] = 0x45, 64, 1
	binary.BigEndian.PutUint16(ip[2:], 20+8+28)
	copy(ip[12:], frame[30:34])
	copy(ip[16:], frame[26:30])
	message[0], message[1] = []byte{3, 3, 4, 5, 11, 12}[m.next()%6], byte(m.next()%16)
	binary.BigEndian.PutUint32(message[4:], uint32(m.next()<<8|m.next()))
	e = append(e, frame[14:14+28]...)
	fixChecksums(e)
	return e
}

// fixChecksums makes the checksums of an IPv4 frame right, as far as it is one.
func fixChecksums(frame []byte) {
	if len(frame) < 34 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return
	}
	ip := frame[14:]
	n, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if n < 20 || n > len(ip) || total < n || total > len(ip) {
		return
	}
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], checksum.Of(ip[:n]))
	payload, protocol := ip[n:total], ip[9]
	offset, ok := map[byte]int{1: 2, 6: 16, 17: 6}[protocol]
	if !ok || len(payload) < offset+2 {
		return
	}
	sum := uint64(0)
	if protocol != 1 {
		pseudo := append(append([]byte(nil), ip[12:20]...), 0, protocol, byte(len(payload)>>8), byte(len(payload)))
		sum = checksum.Sum(pseudo, 0)
	}
	binary.BigEndian.PutUint16(payload[offset:], 0)
	binary.BigEndian.PutUint16(payload[offset:], ^checksum.Fold(checksum.Sum(payload, sum)))
}
