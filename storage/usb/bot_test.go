package usb

import (
	"bytes"
	"testing"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

var (
	testUnitReady = []byte{0, 0, 0, 0, 0, 0}
	inquiry36     = []byte{0x12, 0, 0, 0, 36, 0}
	requestSense  = []byte{0x03, 0, 0, 0, 18, 0}
)

// TestThirteenCases is table 6.1 of BOT: what hosts and devices may expect of each other,
// with and without Stall.
func TestThirteenCases(t *testing.T) {
	for _, c := range []struct {
		name    string
		length  int // dCBWDataTransferLength
		toHost  bool
		cdb     []byte
		data    int // bytes of the device that are no filling
		status  byte
		residue int
	}{
		{"1 Hn=Dn", 0, false, testUnitReady, 0, cswPassed, 0},
		{"2 Hn<Di", 0, false, read10(0, 1), 0, cswPhaseError, 0},
		{"3 Hn<Do", 0, false, write10(0, 1), 0, cswPhaseError, 0},
		{"4 Hi>Dn", 512, true, testUnitReady, 0, cswPassed, 512},
		{"5 Hi>Di", 2048, true, read10(0, 2), 1024, cswPassed, 1024},
		{"5 Hi>Di, in a short packet", 100, true, inquiry36, 36, cswPassed, 64},
		{"6 Hi=Di", 1024, true, read10(0, 2), 1024, cswPassed, 0},
		{"7 Hi<Di", 512, true, read10(0, 2), 512, cswPhaseError, 0},
		{"8 Hi<>Do", 512, true, write10(0, 1), 0, cswPhaseError, 0},
		{"9 Ho>Dn", 512, false, testUnitReady, 0, cswPassed, 512},
		{"10 Ho<>Di", 512, false, read10(0, 1), 0, cswPhaseError, 0},
		{"11 Ho>Do", 2048, false, write10(0, 2), 0, cswPassed, 1024},
		{"12 Ho=Do", 1024, false, write10(0, 2), 0, cswPassed, 0},
		{"13 Ho<Do", 512, false, write10(0, 2), 0, cswPhaseError, 0},
	} {
		for _, stall := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				r := configured(t, Config{Stall: stall}, 0)
				before := bytes.Repeat([]byte{7}, 1024)
				r.command(1024, false, write10(0, 2)...)
				r.want("data", r.out(endpointDataOut, before), StatusOK, 1024)
				r.execute()
				r.status(cswPassed, 0)

				r.command(c.length, c.toHost, c.cdb...)
				text := bytes.Repeat([]byte{9}, c.length)
				switch {
				case c.length == 0:
				case !c.toHost:
					r.want("data", r.out(endpointDataOut, text), StatusOK, c.length)
					r.execute()
				case stall && c.data < c.length:
					in := r.in(endpointDataIn, c.length)
					want := StatusStall
					if c.data%512 != 0 {
						want = StatusOK // the short packet ends the transfer
					}
					r.want("data", in, want, c.data)
					r.want("after the data", r.in(endpointDataIn, 13), StatusStall, 0)
					if p := r.control(0x82, requestGetStatus, 0, endpointDataIn, 2).Data; !bytes.Equal(p, []byte{1, 0}) {
						t.Errorf("status of the endpoint % x", p)
					}
					r.control(0x02, requestClearFeature, featureEndpointHalt, endpointDataIn, 0)
				default:
					p := r.want("data", r.in(endpointDataIn, c.length), StatusOK, c.length)
					if !bytes.Equal(p[c.data:], make([]byte, c.length-c.data)) {
						t.Error("the filling is not zero")
					}
				}
				r.status(c.status, c.residue)

				// What was written, and nothing where there was a phase error.
				want := before
				if c.cdb[0] == 0x2a && c.status == cswPassed {
					want = bytes.Repeat([]byte{9}, 1024)
				}
				r.command(1024, true, read10(0, 2)...)
				if p := r.want("data", r.in(endpointDataIn, 1024), StatusOK, 1024); !bytes.Equal(p, want) {
					t.Errorf("the disk holds % x..., want % x...", p[:4], want[:4])
				}
				r.status(cswPassed, 0)
				r.idle()
			})
		}
	}
}

// idle sees that nothing is left under way.
func (r *rig) idle() {
	r.Helper()
	if len(r.f.active) != 0 || r.f.used.Load() != 0 || r.f.pending != 0 || r.f.done.n != 0 {
		r.Errorf("left: %d commands, %d bytes, %d transfers, %d answers", len(r.f.active), r.f.used.Load(), r.f.pending, r.f.done.n)
	}
}

// TestDataInPieces has data cross in transfers of all kinds of sizes.
func TestDataInPieces(t *testing.T) {
	r := configured(t, Config{}, 0)
	text := make([]byte, 4096)
	for i := range text {
		text[i] = byte(i * 7)
	}
	r.command(4096, false, write10(3, 8)...)
	for _, p := range [][]byte{text[:512], text[512:2560], text[2560:]} {
		r.want("data", r.out(endpointDataOut, p), StatusOK, len(p))
	}
	r.execute()
	r.status(cswPassed, 0)
	r.command(4096, true, read10(3, 8)...)
	var got []byte
	for _, n := range []int{512, 0, 1024, 2560} {
		got = append(got, r.want("data", r.in(endpointDataIn, n), StatusOK, n)...)
	}
	if !bytes.Equal(got, text) {
		t.Error("other data than were written")
	}
	r.status(cswPassed, 0)

	// A short packet ends the data of the host early: the command fails.
	r.command(1024, false, write10(0, 2)...)
	r.want("data", r.out(endpointDataOut, bytes.Repeat([]byte{1}, 600)), StatusOK, 600)
	r.execute()
	r.status(cswFailed, 1024-600)
	r.idle()
}

// TestTooMuchData has a host send more data than it has announced.
func TestTooMuchData(t *testing.T) {
	r := configured(t, Config{}, 0)
	r.command(512, false, write10(0, 1)...)
	r.want("data", r.out(endpointDataOut, make([]byte, 1024)), StatusStall, 512)
	r.want("after it", r.out(endpointDataOut, make([]byte, 31)), StatusStall, 0)
	r.status(cswPhaseError, 0)
	r.control(0x02, requestClearFeature, featureEndpointHalt, endpointDataOut, 0)
	r.command(0, false, testUnitReady...)
	r.status(cswPassed, 0)
	r.idle()
}

// TestResetRecovery sends what is no CBW: both endpoints stay halted, whatever the host
// clears, until the reset (BOT 6.6.1, 5.3.4).
func TestResetRecovery(t *testing.T) {
	good := cbwOf(0, false, testUnitReady...)
	with := func(at int, b byte) []byte {
		p := bytes.Clone(good)
		p[at] = b
		return p
	}
	for name, p := range map[string][]byte{
		"short": good[:30], "long": append(bytes.Clone(good), 0), "empty": {}, "signature": with(0, 0), "flags": with(12, 1),
		"no such unit": with(13, 1), "reserved bits of the unit": with(13, 0x10), "empty command": with(14, 0), "long command": with(14, 17),
	} {
		t.Run(name, func(t *testing.T) {
			r := configured(t, Config{}, 0)
			waiting := r.in(endpointDataIn, 13)
			r.want("CBW", r.out(endpointDataOut, p), StatusOK, len(p))
			r.want("IN", waiting, StatusStall, 0)
			for range 2 {
				r.want("IN", r.in(endpointDataIn, 13), StatusStall, 0)
				r.want("OUT", r.out(endpointDataOut, good), StatusStall, 0)
				for _, e := range []uint16{endpointDataIn, endpointDataOut} {
					if r.control(0x02, requestClearFeature, featureEndpointHalt, e, 0).Status != StatusOK {
						t.Error("CLEAR FEATURE was refused")
					}
				}
			}
			if r.control(0x21, requestReset, 0, 0, 0).Status != StatusOK {
				t.Fatal("the reset was refused")
			}
			r.want("IN after the reset", r.in(endpointDataIn, 13), StatusStall, 0)
			for _, e := range []uint16{endpointDataIn, endpointDataOut} {
				r.control(0x02, requestClearFeature, featureEndpointHalt, e, 0)
			}
			r.command(0, false, testUnitReady...)
			r.status(cswPassed, 0)
			r.idle()
		})
	}
}

// TestResetInEachPhase resets the device in each phase of a command, by all that resets.
func TestResetInEachPhase(t *testing.T) {
	resets := map[string]func(*rig){
		"bulk-only reset": func(r *rig) { r.control(0x21, requestReset, 0, 0, 0) },
		"configuration":   func(r *rig) { r.control(0x00, requestSetConfiguration, 1, 0, 0) },
		"interface":       func(r *rig) { r.control(0x01, requestSetInterface, 0, 0, 0) },
		"bus": func(r *rig) {
			b := r.submit(&Transfer{Reset: true})
			r.want("reset", b, StatusOK, 0)
			r.control(0x00, requestSetConfiguration, 1, 0, 0)
		},
	}
	phases := map[string]func(*rig) *command{
		"command":  func(r *rig) *command { return nil },
		"data out": func(r *rig) *command { r.command(1024, false, write10(0, 2)...); return nil },
		"half of data out": func(r *rig) *command {
			r.command(1024, false, write10(0, 2)...)
			r.want("data", r.out(endpointDataOut, make([]byte, 512)), StatusOK, 512)
			return nil
		},
		"ready": func(r *rig) *command {
			r.want("CBW", r.out(endpointDataOut, cbwOf(512, true, read10(0, 1)...)), StatusOK, cbwLength)
			return nil
		},
		"executing": func(r *rig) *command {
			r.want("CBW", r.out(endpointDataOut, cbwOf(512, true, read10(0, 1)...)), StatusOK, cbwLength)
			c := r.f.next()
			r.f.begun()
			return c
		},
		"data in": func(r *rig) *command { r.command(1024, true, read10(0, 2)...); return nil },
		"half of data in": func(r *rig) *command {
			r.command(1024, true, read10(0, 2)...)
			r.want("data", r.in(endpointDataIn, 512), StatusOK, 512)
			return nil
		},
		"status": func(r *rig) *command { r.command(0, false, testUnitReady...); return nil },
	}
	for reset, do := range resets {
		for phase, begin := range phases {
			t.Run(reset+" in "+phase, func(t *testing.T) {
				r := configured(t, Config{}, 0)
				c := begin(r)
				do(r)
				r.command(0, false, testUnitReady...)
				r.status(cswPassed, 0)
				if c != nil { // it ends after all that
					r.f.ended(c)
				}
				r.idle()
			})
		}
	}
}

// TestSense has REQUEST SENSE tell why the command before has failed, and only that.
func TestSense(t *testing.T) {
	r := configured(t, Config{}, 0)
	r.command(512, true, read10(1<<20, 1)...)
	r.want("filling", r.in(endpointDataIn, 512), StatusOK, 512)
	r.status(cswFailed, 512)
	sense := func(length int) scsi.Sense {
		t.Helper()
		r.command(length, true, requestSense...)
		s, _ := scsi.ParseSense(r.want("sense", r.in(endpointDataIn, length), StatusOK, length))
		return s
	}
	if s := sense(18); s.Key != scsi.IllegalRequest || s.Code != scsi.CodeLBAOutOfRange {
		t.Errorf("%v", s)
	}
	r.status(cswPassed, 0)
	if s := sense(18); s.Key != scsi.NoSense {
		t.Errorf("the second time: %v", s)
	}
	r.status(cswPassed, 0)

	// Another command makes it forget.
	r.command(0, false, 0xff, 0, 0, 0, 0, 0)
	r.status(cswFailed, 0)
	r.command(0, false, testUnitReady...)
	r.status(cswPassed, 0)
	if s := sense(18); s.Key != scsi.NoSense {
		t.Errorf("after another command: %v", s)
	}
	r.status(cswPassed, 0)
	r.idle()
}

// TestCancel cancels transfers that wait, and others.
func TestCancel(t *testing.T) {
	r := configured(t, Config{}, 0)
	a, b := r.in(endpointDataIn, 13), r.in(endpointDataIn, 13)
	cancel := func(id uint64, want Status) {
		t.Helper()
		c := r.submit(&Transfer{Cancel: true, ID: id})
		r.want("cancel", c, want, 0)
	}
	cancel(b.ID, StatusOK)
	r.want("canceled", b, StatusCanceled, 0)
	cancel(b.ID, StatusInvalid)
	cancel(99, StatusInvalid)
	r.command(0, false, testUnitReady...)
	r.want("CSW", a, StatusOK, cswLength)
	cancel(a.ID, StatusInvalid)
	r.want("no such endpoint", r.in(0x85, 13), StatusInvalid, 0)
	r.command(0, false, testUnitReady...)
	r.want("no room", r.in(endpointDataIn, 12), StatusBabble, 0)
	r.status(cswPassed, 0)
	r.idle()
}

// TestBoundOfTransfers has more transfers wait than a device keeps.
func TestBoundOfTransfers(t *testing.T) {
	r := configured(t, Config{}, 0)
	for range maxPending {
		r.in(endpointDataIn, 13)
	}
	r.want("one more", r.in(endpointDataIn, 13), StatusTooMuch, 0)
	if r.f.pending != maxPending {
		t.Errorf("%d wait", r.f.pending)
	}
	r.control(0x00, requestSetConfiguration, 0, 0, 0)
	if r.f.pending != 0 || r.f.done.n != maxPending {
		t.Errorf("%d wait, %d answers", r.f.pending, r.f.done.n)
	}
}

// TestAbortedByOthers has another nexus reset the unit while the host owes data.
func TestAbortedByOthers(t *testing.T) {
	for setting := range 2 {
		r := configured(t, Config{}, byte(setting))
		if setting == 0 {
			r.command(512, false, write10(0, 1)...)
		} else {
			r.want("command", r.out(endpointCommand, commandIU(1, write10(0, 1))), StatusOK, commandIULength)
		}
		other := r.units.Attach(scsi.NexusConfig{Initiator: scsi.InitiatorPort{Protocol: scsi.ProtocolISCSI, Name: "iqn.2026-01.org.example:other"}})
		done, ok := other.ResetUnit(0)
		if !ok {
			t.Fatal("no unit")
		}
		r.f.sweep()
		select {
		case <-done:
		default:
			t.Error("the task is still there")
		}
		if setting == 0 {
			r.want("data", r.out(endpointDataOut, make([]byte, 512)), StatusOK, 512)
			r.status(cswFailed, 512)
		} else {
			for range 2 {
				in := r.in(endpointStatus, 128)
				if !r.done(in) {
					t.Fatal("no answer")
				}
				if in.Data[0] == iuSense {
					if in.Data[6] != byte(scsi.TaskAborted) {
						t.Errorf("status %#x", in.Data[6])
					}
					break
				}
			}
		}
		r.idle()
	}
}
