package vhost

import (
	"errors"
	"reflect"
	"testing"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// bodyOf is a payload of each kind.
func bodyOf(k kind) any {
	switch k {
	case kindU64:
		return U64(0x1122334455667788)
	case kindState:
		return VringState{1, 2}
	case kindAddr:
		return VringAddr{1, 2, 3, 4, 5, 6}
	case kindMemory:
		return MemoryTable{{Guest: 1, Size: 2, User: 3, Offset: 4}, {Guest: 5, Size: 6, User: 7, Offset: 8}}
	case kindRegion:
		return SingleRegion{Region: memory.Region{Guest: 1, Size: 2, User: 3, Offset: 4}}
	case kindLog:
		return LogArea{1, 2}
	case kindIOTLB:
		return IOTLB{IOVA: 1, Size: 2, User: 3, Perm: 1, Type: 2}
	case kindConfig:
		return ConfigSpace{Offset: 4, Flags: 1, Data: []byte("config")}
	case kindArea:
		return VringArea{1, 2, 3}
	case kindInflight:
		return InflightArea{Size: 1, Offset: 2, Queues: 3, QueueSize: 4}
	case kindObject:
		return Object{15: 1}
	case kindTransfer:
		return Transfer{1, 0}
	case kindMMap:
		return MMap{ID: 1, FileOffset: 2, Offset: 3, Len: 4, Flags: 1}
	case kindShmem:
		return ShmemConfig{Count: 1, Sizes: [256]uint64{3: 4096}}
	case kindOpaque:
		return Opaque("session")
	}
	return nil
}

// TestMessages writes and reads each message of both sides, and each reply, and
// refuses each that is longer or shorter.
func TestMessages(t *testing.T) {
	for _, backend := range []bool{false, true} {
		known := 0
		for r := range Request(64) {
			s, ok := shapeOf(r, backend)
			if !ok {
				continue
			}
			known++
			messages := []Message{
				{Request: r, Backend: backend, Body: bodyOf(s.request)},
				{Request: r, Backend: backend, Ack: true, Body: bodyOf(s.request)},
				{Request: r, Backend: backend, Reply: true, Body: bodyOf(s.reply)},
				{Request: r, Backend: backend, Reply: true, Body: U64(1)}, // an acknowledgement
			}
			if s.reply == kindState {
				messages = messages[:3] // an acknowledgement cannot be told apart
			}
			for _, m := range messages {
				b, err := m.Append(nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Parse(b, backend, s.minFDs*btoi(!m.Reply))
				if err != nil || !reflect.DeepEqual(got, m) {
					t.Errorf("%s: %+v, %v, want %+v", s.name, got, err, m)
				}
				for n := range len(b) {
					if _, err := Parse(b[:n], backend, s.minFDs); !errors.Is(err, ErrMessage) {
						t.Errorf("%s: the first %d bytes: %v", s.name, n, err)
					}
				}
				if m.Reply {
					continue
				}
				for _, fds := range []int{s.minFDs - 1, s.maxFDs + 1} {
					if _, err := Parse(b, backend, fds); !errors.Is(err, ErrMessage) {
						t.Errorf("%s: %d file descriptors: %v", s.name, fds, err)
					}
				}
			}
		}
		if want := map[bool]int{false: 45, true: 10}[backend]; known != want {
			t.Errorf("%d requests are known, want %d", known, want)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestParseRefuses(t *testing.T) {
	head := func(request, flags, size byte, more ...byte) []byte {
		b := []byte{request, 0, 0, 0, flags, 0, 0, 0, size, 0, 0, 0}
		return append(b, more...)
	}
	for name, b := range map[string][]byte{
		"nothing":                     {},
		"version 0":                   head(1, 0, 0),
		"version 2":                   head(1, 2, 0),
		"request 0":                   head(0, 1, 0),
		"a request that is not known": head(99, 1, 0),
		"a huge request":              {0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0, 0},
		"a huge size":                 {1, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
		"33 regions":                  head(5, 1, 8, 33, 0, 0, 0, 0, 0, 0, 0),
		"regions that are not there":  head(5, 1, 8, 1, 0, 0, 0, 0, 0, 0, 0),
		"a size of its own":           head(24, 1, 12, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0),
	} {
		if m, err := Parse(b, false, 0); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for r := range Request(64) {
		for _, backend := range []bool{false, true} {
			if s, ok := shapeOf(r, backend); ok {
				b, err := Message{Request: r, Backend: backend, Body: bodyOf(s.request)}.Append(nil)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(b, backend, uint8(s.minFDs))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, backend bool, fds uint8) {
		m, err := Parse(b, backend, int(fds))
		if err != nil {
			return
		}
		out, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out, backend, int(fds))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v, %v, want %+v", again, err, m)
		}
	})
}
