package usb

import (
	"encoding/binary"
	"testing"
)

// FuzzFunction has a host do what it likes with a device: the machine neither panics nor
// keeps more than its bounds allow, and is as new after a reset.
func FuzzFunction(f *testing.F) {
	// An operation is a byte that says what, then what it needs.
	const opIn, opOut, opCBW, opCommandIU, opTaskIU, opExecute, opControl, opCancel, opSetting, ops = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	f.Add([]byte{opCBW, 0, 2, 0x80, 0x28, 0, 1, opExecute, opIn, 0, 255, opIn, 0, 13})
	f.Add([]byte{opCBW, 0, 4, 0, 0x2a, 0, 2, opOut, 0, 200, opExecute, opIn, 0, 13})
	f.Add([]byte{opSetting, 1, opCommandIU, 1, 0x28, 1, opExecute, opIn, 1, 64, opIn, 0, 255, opIn, 1, 64})
	f.Add([]byte{opSetting, 1, opCommandIU, 1, 0x2a, 1, opTaskIU, 2, 1, 1, opIn, 1, 64, opOut, 0, 255, opExecute})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) == 0 || len(p) > 1024 {
			return
		}
		c := Config{Stall: p[0]&1 != 0, MaxMemory: 64 << 10}
		if p[0]&2 != 0 {
			c.Speed = SuperSpeed
		}
		p = p[1:]
		r := configured(t, c, 0)
		next := func() (b byte) {
			if len(p) > 0 {
				b, p = p[0], p[1:]
			}
			return b
		}
		executing := []*command{}
		for len(p) > 0 {
			switch next() % ops {
			case opIn:
				e := []uint8{endpointDataIn, endpointStatus, 0x87}[next()%3]
				r.submit(&Transfer{Endpoint: e, Length: int(next()) * 7, Stream: uint16(len(p) % 4)})
			case opOut:
				e := []uint8{endpointDataOut, endpointCommand, 0x07}[next()%3]
				n := int(next()) * 8
				o := &Transfer{Endpoint: e, Length: n, Stream: uint16(len(p) % 4)}
				o.hold = newMemory(r.f.pool, n+1, nil)
				o.Data = o.hold.bytes[:n]
				copy(o.Data, p)
				r.submit(o)
			case opCBW:
				q := cbwOf(int(next())|int(next())<<8, next()&0x80 != 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
				q[15], q[17], q[23] = next(), next(), next()
				q[13] = byte(len(p) % 3 / 2)
				r.out(endpointDataOut, q)
			case opCommandIU:
				q := commandIU(uint16(next()%4), []byte{next(), 0, 0, 0, 0, 0, 0, 0, next() % 64, 0})
				q[4] = byte(len(p) % 3)
				r.out(endpointCommand, q)
			case opTaskIU:
				r.out(endpointCommand, taskIU(uint16(next()), next(), uint16(next())))
			case opExecute:
				if next()&1 == 0 {
					r.execute()
				} else if c := r.f.next(); c != nil {
					r.f.begun()
					executing = append(executing, c)
				}
			case opControl:
				var s [8]byte
				for i := range s {
					s[i] = next()
				}
				r.submit(&Transfer{Setup: s, Length: int(binary.LittleEndian.Uint16(s[6:]))})
			case opCancel:
				r.submit(&Transfer{Cancel: true, ID: uint64(next())})
			case opSetting:
				r.control(0x01, requestSetInterface, uint16(next()%2), 0, 0)
			}
			if r.f.pending > maxPending || r.f.made > maxCommands || r.f.used.Load() > 64<<10+8<<20 {
				t.Fatalf("%d transfers, %d commands, %d bytes", r.f.pending, r.f.made, r.f.used.Load())
			}
		}
		for _, c := range executing {
			r.f.ended(c)
		}
		r.submit(&Transfer{Reset: true})
		r.execute()
		for a := r.f.done.pop(); a != nil; a = r.f.done.pop() {
			if a.Actual > a.Length {
				t.Fatalf("%d bytes of %d", a.Actual, a.Length)
			}
			a.hold.release()
		}
		r.idle()
		r.control(0x00, requestSetConfiguration, 1, 0, 0)
		r.control(0x02, requestClearFeature, 0, endpointDataIn, 0)
		r.command(0, false, testUnitReady...)
		if in := r.in(endpointDataIn, cswLength); !r.done(in) || in.Actual != cswLength {
			t.Fatal("the device does not work after a reset")
		}
	})
}
