package virtqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A raw is a driver that writes whatever it likes.
type raw struct {
	*guest
	size int
}

// split writes a descriptor of a split queue, or of a table.
func (g *raw) split(at, i int, addr uint64, n uint32, flags, next uint16) {
	b := g.mem[at+16*i:]
	binary.LittleEndian.PutUint64(b, addr)
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint16(b[12:], flags)
	binary.LittleEndian.PutUint16(b[14:], next)
}

// packed writes a descriptor of a packed queue, which has one more of the id.
func (g *raw) packed(at, i int, addr uint64, n uint32, flags, id uint16) {
	g.split(at, i, addr, n, id, flags)
}

// avail makes entries available in a split queue, of which it has as many as idx
// says.
func (g *raw) avail(idx uint16, heads ...uint16) {
	binary.LittleEndian.PutUint16(g.mem[atDriver+2:], idx)
	for i, h := range heads {
		binary.LittleEndian.PutUint16(g.mem[atDriver+4+2*(i%g.size):], h)
	}
}

const data = guestBase + atData

// TestHostileSplit has a driver try each way in which a split queue can be wrong.
func TestHostileSplit(t *testing.T) {
	const size = 8
	const table = guestBase + atTables
	for name, c := range map[string]struct {
		offer func(g *raw)
		want  error
	}{
		"one more than the queue holds": {func(g *raw) { g.avail(size+1, 0) }, ErrIndex},
		"idx goes back":                 {func(g *raw) { g.avail(0xffff, 0) }, ErrIndex},
		"idx jumps":                     {func(g *raw) { g.avail(0x8000, 0) }, ErrIndex},
		"the head is no descriptor":     {func(g *raw) { g.avail(1, size) }, ErrHead},
		"the head is far off":           {func(g *raw) { g.avail(1, 0xffff) }, ErrHead},
		"the next one is no descriptor": {func(g *raw) { g.split(0, 0, data, 1, flagNext, size); g.avail(1, 0) }, ErrNext},
		"the next one is far off":       {func(g *raw) { g.split(0, 0, data, 1, flagNext, 0xffff); g.avail(1, 0) }, ErrNext},
		"a loop of one":                 {func(g *raw) { g.split(0, 0, data, 1, flagNext, 0); g.avail(1, 0) }, ErrLoop},
		"a loop of two":                 {func(g *raw) { g.split(0, 0, data, 1, flagNext, 1); g.split(0, 1, data, 1, flagNext, 0); g.avail(1, 0) }, ErrLoop},
		"a loop of nothing":             {func(g *raw) { g.split(0, 0, 0, 0, flagNext, 0); g.avail(1, 0) }, ErrLoop},
		"an address of nothing":         {func(g *raw) { g.split(0, 0, 0x10, 1, 0, 0); g.avail(1, 0) }, ErrAddress},
		"ends outside":                  {func(g *raw) { g.split(0, 0, data, guestLen, 0, 0); g.avail(1, 0) }, ErrAddress},
		"wraps around":                  {func(g *raw) { g.split(0, 0, ^uint64(0)-1, 0xffffffff, flagWrite, 0); g.avail(1, 0) }, ErrAddress},
		"begins before":                 {func(g *raw) { g.split(0, 0, guestBase-1, 2, 0, 0); g.avail(1, 0) }, ErrAddress},
		"an address of the front end's": {func(g *raw) { g.split(0, 0, userBase, 1, 0, 0); g.avail(1, 0) }, ErrAddress},
		"to read behind to write": {func(g *raw) {
			g.split(0, 0, data, 1, flagWrite|flagNext, 1)
			g.split(0, 1, data, 1, 0, 0)
			g.avail(1, 0)
		}, ErrOrder},
		"a table in no place":                {func(g *raw) { g.split(0, 0, 0x10, 16, flagIndirect, 0); g.avail(1, 0) }, ErrIndirect},
		"a table that ends outside":          {func(g *raw) { g.split(0, 0, guestBase+guestLen-16, 32, flagIndirect, 0); g.avail(1, 0) }, ErrIndirect},
		"a table of 17 bytes":                {func(g *raw) { g.split(0, 0, table, 17, flagIndirect, 0); g.avail(1, 0) }, ErrIndirect},
		"an empty table":                     {func(g *raw) { g.split(0, 0, table, 0, flagIndirect, 0); g.avail(1, 0) }, ErrIndirect},
		"a table that is too long":           {func(g *raw) { g.split(0, 0, table, 16*(maxIndirect+1), flagIndirect, 0); g.avail(1, 0) }, ErrIndirect},
		"a table and a descriptor behind it": {func(g *raw) { g.split(0, 0, table, 16, flagIndirect|flagNext, 1); g.avail(1, 0) }, ErrIndirect},
		"a table in a table": {func(g *raw) {
			g.split(0, 0, table, 16, flagIndirect, 0)
			g.split(atTables, 0, table, 16, flagIndirect, 0)
			g.avail(1, 0)
		}, ErrIndirect},
		"a loop in a table": {func(g *raw) {
			g.split(0, 0, table, 32, flagIndirect, 0)
			g.split(atTables, 0, data, 1, flagNext, 1)
			g.split(atTables, 1, data, 1, flagNext, 0)
			g.avail(1, 0)
		}, ErrLoop},
		"the next one is none of its table": {func(g *raw) {
			g.split(0, 0, table, 32, flagIndirect, 0)
			g.split(atTables, 0, data, 1, flagNext, 2)
			g.avail(1, 0)
		}, ErrNext},
		"to read in a table behind to write": {func(g *raw) {
			g.split(0, 0, data, 1, flagWrite|flagNext, 1)
			g.split(0, 1, table, 16, flagIndirect, 0)
			g.split(atTables, 0, data, 1, 0, 0)
			g.avail(1, 0)
		}, ErrOrder},
		"more chains than the queue can hold": {func(g *raw) { g.split(0, 0, data, 1, 0, 0); g.avail(size, 0, 0, 0, 0, 0, 0, 0, 0) }, ErrFlood},
	} {
		t.Run(name, func(t *testing.T) {
			g := &raw{newGuest(t), size}
			q := g.device(g.config(size, FeatureIndirect|FeatureEventIdx))
			c.offer(g)
			broken(t, q, c.want, func() { g.avail(binary.LittleEndian.Uint16(g.mem[atDriver+2:])+1, 0) })
		})
	}
}

// broken has q take chains until it fails, which it must with the error want, and
// from then on. More offers one more, if that is to break it.
func broken(t *testing.T, q *Device, want error, more func()) {
	t.Helper()
	began := time.Now()
	var err error
	for i := 0; err == nil && i < 100; i++ {
		var ok bool
		if ok, err = q.Next(new(Chain)); !ok && err == nil {
			if want != ErrFlood || i > 50 {
				t.Fatalf("nothing is wrong: %v", err)
			}
			more()
		}
	}
	if !errors.Is(err, want) || q.Err() != err {
		t.Fatalf("%v, want %v", err, want)
	}
	if ok, again := q.Next(new(Chain)); ok || again != err {
		t.Errorf("and then %v, %v", ok, again)
	}
	if q.Arm() || q.Flush() {
		t.Error("a queue that is broken asks for more")
	}
	q.Disarm()
	if d := time.Since(began); d > time.Minute {
		t.Errorf("it took %v", d)
	}
}

// TestHostilePacked does the same with a packed queue.
func TestHostilePacked(t *testing.T) {
	const size = 7
	const table = guestBase + atTables
	all := func(g *raw, flags uint16) {
		for i := range size {
			g.packed(0, i, data, 1, flagAvail|flags, uint16(i))
		}
	}
	for name, c := range map[string]struct {
		offer func(g *raw)
		want  error
	}{
		"a chain as long as the queue": {func(g *raw) { all(g, flagNext) }, ErrLoop},
		"an address of nothing":        {func(g *raw) { g.packed(0, 0, 0x10, 1, flagAvail, 0) }, ErrAddress},
		"wraps around":                 {func(g *raw) { g.packed(0, 0, ^uint64(0), 2, flagAvail, 0) }, ErrAddress},
		"to read behind to write": {func(g *raw) {
			g.packed(0, 0, data, 1, flagAvail|flagWrite|flagNext, 0)
			g.packed(0, 1, data, 1, flagAvail, 0)
		}, ErrOrder},
		"a table in no place":                {func(g *raw) { g.packed(0, 0, 0x10, 16, flagAvail|flagIndirect, 0) }, ErrIndirect},
		"a table of 8 bytes":                 {func(g *raw) { g.packed(0, 0, table, 8, flagAvail|flagIndirect, 0) }, ErrIndirect},
		"an empty table":                     {func(g *raw) { g.packed(0, 0, table, 0, flagAvail|flagIndirect, 0) }, ErrIndirect},
		"a table that is too long":           {func(g *raw) { g.packed(0, 0, table, 1<<30, flagAvail|flagIndirect, 0) }, ErrIndirect},
		"a table and a descriptor behind it": {func(g *raw) { g.packed(0, 0, table, 16, flagAvail|flagIndirect|flagNext, 0) }, ErrIndirect},
		"a table in a table": {func(g *raw) {
			g.packed(0, 0, table, 16, flagAvail|flagIndirect, 0)
			g.packed(atTables, 0, table, 16, flagIndirect, 0)
		}, ErrIndirect},
		"to read in a table behind to write": {func(g *raw) {
			g.packed(0, 0, table, 32, flagAvail|flagIndirect, 0)
			g.packed(atTables, 0, data, 1, flagWrite, 0)
			g.packed(atTables, 1, data, 1, 0, 0)
		}, ErrOrder},
		"more chains than the queue can hold": {func(g *raw) {
			for i := range size {
				g.packed(0, i, data, 1, flagAvail, uint16(i))
			}
		}, ErrFlood},
	} {
		t.Run(name, func(t *testing.T) {
			g := &raw{newGuest(t), size}
			q := g.device(g.config(size, FeatureIndirect|FeatureEventIdx|FeaturePacked))
			c.offer(g)
			broken(t, q, c.want, func() { // the next lap, without waiting for what is used
				for i := range size {
					g.packed(0, i, data, 1, flagUsed, uint16(i))
				}
			})
		})
	}
}

// TestIndirectNotNegotiated: a table is refused where there may be none.
func TestIndirectNotNegotiated(t *testing.T) {
	g := &raw{newGuest(t), 8}
	q := g.device(g.config(8, 0))
	g.split(0, 0, guestBase+atTables, 16, flagIndirect, 0)
	g.avail(1, 0)
	broken(t, q, ErrIndirect, nil)
}

// TestTooManyBytes: the length of a chain is a number of 32 bits.
func TestTooManyBytes(t *testing.T) {
	g := &raw{newGuest(t), 8}
	q := g.device(g.config(8, FeatureIndirect))
	c := new(Chain)
	c.WriteLen = 1<<32 - 2
	if err := q.parts.add(c, descriptor{addr: data, len: 1, flags: flagWrite}); err != nil {
		t.Error(err)
	}
	if err := q.parts.add(c, descriptor{addr: data, len: 1, flags: flagWrite}); !errors.Is(err, ErrLength) {
		t.Error(err)
	}
	c = new(Chain)
	for range 2 * maxIndirect {
		if err := q.parts.add(c, descriptor{addr: data, len: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.parts.add(c, descriptor{addr: data, len: 1}); !errors.Is(err, ErrLength) {
		t.Error(err)
	}
}

// TestReadOnce: descriptors that change after they were read change nothing.
func TestReadOnce(t *testing.T) {
	for _, features := range []uint64{0, FeaturePacked} {
		t.Run(featureName(features), func(t *testing.T) {
			g := newGuest(t)
			c := g.config(8, features)
			d, q := g.driver(c), g.device(c)
			if _, err := d.Add([]Span{{data, 10}, {data + 100, 20}}, 1); err != nil {
				t.Fatal(err)
			}
			d.Publish()
			var chain Chain
			if ok, err := q.Next(&chain); !ok || err != nil {
				t.Fatal(err)
			}
			clear(g.mem[:atData]) // all of the queue
			if len(chain.Readable) != 1 || len(chain.Readable[0]) != 10 || len(chain.Writable[0]) != 20 || &chain.Readable[0][0] != &g.mem[atData] {
				t.Error("the chain has changed")
			}
			q.Put(&chain, 1<<40) // more than there is
			q.Flush()
			if n := binary.LittleEndian.Uint32(g.mem[usedLenAt(features):]); n != 20 {
				t.Errorf("%d bytes are said to be written", n)
			}
		})
	}
}

func usedLenAt(features uint64) int {
	if features&FeaturePacked != 0 {
		return atDesc + 8
	}
	return atDevice + 8
}

// TestConfig: what cannot be a queue is none.
func TestConfig(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"no size":                    func(c *Config) { c.Size = 0 },
		"a negative size":            func(c *Config) { c.Size = -8 },
		"too large":                  func(c *Config) { c.Size = MaxSize * 2 },
		"no power of two":            func(c *Config) { c.Size = 6 },
		"descriptors in no place":    func(c *Config) { c.Descriptors = 0x10 },
		"descriptors not aligned":    func(c *Config) { c.Descriptors += 8 },
		"driver area in no place":    func(c *Config) { c.Driver = guestBase },
		"driver area not aligned":    func(c *Config) { c.Driver++ },
		"device area not aligned":    func(c *Config) { c.Device += 2 },
		"device area ends outside":   func(c *Config) { c.Device = userBase + atData + 0x10000 - 4 },
		"device area wraps around":   func(c *Config) { c.Device = ^uint64(0) - 3 },
		"descriptors in two regions": func(c *Config) { c.Descriptors = userBase + atData + 0x10000 - 16 },
		"packed: base outside":       func(c *Config) { c.Features |= FeaturePacked; c.Base = 8 },
		"packed: used base outside":  func(c *Config) { c.Features |= FeaturePacked; c.Base = 9 << 16 },
		"packed: not aligned":        func(c *Config) { c.Features |= FeaturePacked; c.Driver += 2 },
		"in flight: too short":       func(c *Config) { c.Inflight = make([]byte, InflightLen(8, false)-1) },
		"in flight: another version": func(c *Config) { c.Inflight = make([]byte, 4096); c.Inflight[8] = 2 },
		"in flight: another size":    func(c *Config) { c.Inflight = make([]byte, 4096); c.Inflight[8], c.Inflight[10] = 1, 4 },
		"in flight: more than was": func(c *Config) {
			c.Inflight = make([]byte, 4096)
			copy(c.Inflight[8:], []byte{1, 0, 8, 0, 0, 0, 100, 0})
		},
		"in flight: a bad batch": func(c *Config) {
			c.Inflight = make([]byte, 4096)
			copy(c.Inflight[8:], []byte{1, 0, 8, 0, 9, 0, 255, 255})
		},
	} {
		g := newGuest(t)
		c := g.config(8, 0)
		change(&c)
		if _, err := NewDevice(g.table, c); !errors.Is(err, ErrConfig) && !errors.Is(err, ErrInflight) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for size := range []int{1, 2, 3} {
		g := newGuest(t)
		if _, err := NewDevice(g.table, g.config(1<<size, 0)); err != nil {
			t.Error(err)
		}
	}
}

// TestPackedBase: where a packed queue goes on, also when the front end tells only
// half of it.
func TestPackedBase(t *testing.T) {
	for base, want := range map[uint32]uint32{
		NewPackedBase:             NewPackedBase,
		1 << 15:                   NewPackedBase, // as virtio-user of DPDK begins
		1<<15 | 3:                 1<<15 | 3 | (1<<15|3)<<16,
		0:                         0,
		5 | 2<<16:                 5 | 2<<16, // three are under way
		1 | (1<<15|6)<<16:         1 | (1<<15|6)<<16,
		2 | 5<<16:                 2 | 2<<16, // before what was used
		1<<15 | 7 | 6<<16:         1<<15 | 7 | (1<<15|7)<<16,
		6 | (1<<15|6)<<16:         6 | 6<<16, // all of it
		1<<15 | 4 | (1<<15|4)<<16: 1<<15 | 4 | (1<<15|4)<<16,
	} {
		g := newGuest(t)
		c := g.config(8, FeaturePacked)
		c.Base = base
		if got := g.device(c).Base(); got != want {
			t.Errorf("%#x: %#x, want %#x", base, got, want)
		}
	}
}

// TestHostileDevice: a driver believes its device no more.
func TestHostileDevice(t *testing.T) {
	for name, c := range map[string]struct {
		features uint64
		lie      func(g *raw)
	}{
		"split: a chain that is no descriptor":  {0, func(g *raw) { g.used(1, 8) }},
		"split: a chain that is far off":        {0, func(g *raw) { g.used(1, 1<<31) }},
		"split: a chain that is not under way":  {0, func(g *raw) { g.used(1, 5) }},
		"split: the same chain twice":           {0, func(g *raw) { g.used(2, 0, 0) }},
		"split: more than the queue holds":      {0, func(g *raw) { g.used(9, 0) }},
		"packed: a buffer that is not there":    {FeaturePacked, func(g *raw) { g.packed(0, 0, 0, 0, flagAvail|flagUsed, 9) }},
		"packed: a buffer that is not on a way": {FeaturePacked, func(g *raw) { g.packed(0, 0, 0, 0, flagAvail|flagUsed, 5) }},
		"packed: the same buffer twice": {FeaturePacked, func(g *raw) {
			g.packed(0, 0, 0, 0, flagAvail|flagUsed, 0)
			g.packed(0, 1, 0, 0, flagAvail|flagUsed, 0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &raw{newGuest(t), 8}
			d := g.driver(g.config(8, c.features))
			for range 2 {
				if _, err := d.Add([]Span{{data, 10}}, 1); err != nil {
					t.Fatal(err)
				}
			}
			d.Publish()
			c.lie(g)
			var err error
			for i := 0; i < 4 && err == nil; i++ {
				_, _, _, err = d.Take()
			}
			if !errors.Is(err, ErrUsed) {
				t.Fatal(err)
			}
			if _, again := d.Add([]Span{{data, 10}}, 1); again != err {
				t.Errorf("and then %v", again)
			}
		})
	}
}

// used returns chains in a split queue.
func (g *raw) used(idx uint16, ids ...uint32) {
	binary.LittleEndian.PutUint16(g.mem[atDevice+2:], idx)
	for i, id := range ids {
		binary.LittleEndian.PutUint32(g.mem[atDevice+4+8*i:], id)
	}
}

// TestLog: exactly the pages that a device writes to are marked.
func TestLog(t *testing.T) {
	for _, features := range []uint64{0, FeatureEventIdx, FeaturePacked} {
		t.Run(featureName(features), func(t *testing.T) {
			g := newGuest(t)
			c := g.config(8, features)
			bits := make([]byte, (guestBase+guestLen)/memory.LogPage/8)
			var err error
			if c.Log, err = memory.NewLog(bits); err != nil {
				t.Fatal(err)
			}
			c.LogRing, c.LogAddr = true, guestBase+atDevice
			d, q := g.driver(c), g.device(c)
			spans := []Span{{data, 10}, {data + 0x2ff8, 16}, {data + 0x8000, 0x1000}, {data + 0xb000, 0x1000}}
			if _, err := d.Add(spans, 1); err != nil {
				t.Fatal(err)
			}
			d.Publish()
			var chain Chain
			if ok, err := q.Next(&chain); !ok {
				t.Fatal(err)
			}
			q.Put(&chain, 16+0x800)
			q.Flush()
			got := ""
			for page := range len(bits) * 8 {
				if bits[page/8]>>(page%8)&1 != 0 {
					got += fmt.Sprintf("%x ", page*memory.LogPage-guestBase)
				}
			}
			want := "5000 22000 23000 28000 "
			if features&FeaturePacked != 0 {
				want = "0 22000 23000 28000 "
			}
			if got != want {
				t.Errorf("marked are %s, want %s", got, want)
			}
		})
	}
}

// TestAllocations: a chain there and back allocates nothing.
func TestAllocations(t *testing.T) {
	kinds(t, func(t *testing.T, size int, features uint64) {
		g := newGuest(t)
		c := g.config(size, features)
		d, q := g.driver(c), g.device(c)
		spans := []Span{{data, 10}, {data + 100, 20}}[:min(2, size)]
		var chain Chain
		n := testing.AllocsPerRun(200, func() {
			if _, err := d.Add(spans, 1); err != nil {
				t.Fatal(err)
			}
			d.Publish()
			if ok, err := q.Next(&chain); !ok {
				t.Fatal(err)
			}
			q.Put(&chain, 0)
			q.Flush()
			q.Arm()
			if _, _, ok, err := d.Take(); !ok {
				t.Fatal(err)
			}
			d.Arm()
		})
		if n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzDevice has a driver that writes anything into the queue, while a device
// works on it.
func FuzzDevice(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), uint8(0), uint8(3))
	f.Add([]byte{1, 0, 0, 16, 2, 0, 0, 0, 0, 0, 2, 0, 5, 0, 3, 0, 0x80, 0}, uint8(7), uint8(5))
	f.Fuzz(func(t *testing.T, script []byte, kind, size uint8) {
		g := newGuest(t)
		features := uint64(kind&1)*FeaturePacked | uint64(kind>>1&1)*FeatureEventIdx | uint64(kind>>2&1)*FeatureIndirect
		n := 1 << (size % 5)
		c := g.config(n, features)
		if kind&8 != 0 {
			c.Inflight = make([]byte, InflightLen(n, features&FeaturePacked != 0))
			copy(c.Inflight, script)
		}
		q, err := NewDevice(g.table, c)
		if err != nil {
			return
		}
		var chains []*Chain
		areas := []int{atDesc, atDriver, atDevice, atTables}
		for len(script) >= 4 {
			at := areas[script[0]&3] + int(script[0]>>2)
			k := int(script[1]) % 17
			copy(g.mem[at:], script[2:min(2+k, len(script))])
			if script[1]&0x80 != 0 { // plausible addresses come up more often
				binary.LittleEndian.PutUint64(g.mem[at&^15:], data+uint64(script[2]))
			}
			script = script[min(2+k, len(script)):]
			chain := new(Chain)
			ok, err := q.Next(chain)
			if err != nil {
				break
			}
			if ok {
				chains = append(chains, chain)
				for _, b := range append(chain.Readable, chain.Writable...) {
					_ = b[len(b)-1]
				}
			}
			if len(chains) > 0 && (!ok || len(chains) == n) {
				q.Put(chains[0], int(script0(script)))
				chains = chains[1:]
				q.Flush()
				q.Arm()
			}
			if q.Taken() > n {
				t.Fatalf("%d chains of %d", q.Taken(), n)
			}
		}
		for _, c := range chains {
			q.Put(c, c.WriteLen)
		}
		q.Flush()
		q.Disarm()
	})
}

func script0(s []byte) byte {
	if len(s) == 0 {
		return 0
	}
	return s[0]
}
