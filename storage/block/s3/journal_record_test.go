package s3

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestScan reads journals of two areas. A record is written as NUMBER.EPOCH, and with
// ! after it if it is damaged.
func TestScan(t *testing.T) {
	type records []string
	for _, c := range []struct {
		name           string
		first, second  records
		applied, floor int
		want           records
	}{
		{"empty", nil, nil, 0, 0, nil},
		{"one area", records{"1.1", "2.1", "3.1"}, nil, 0, 0, records{"1", "2", "3"}},
		{"part is in the bucket", records{"1.1", "2.1", "3.1"}, nil, 2, 0, records{"3"}},
		{"all is in the bucket", records{"1.1", "2.1"}, nil, 2, 0, nil},
		{"more is in the bucket than in the journal", records{"1.1", "2.1"}, nil, 9, 0, nil},
		{"both areas", records{"1.1", "2.1"}, records{"3.1", "4.1"}, 0, 0, records{"1", "2", "3", "4"}},
		{"both areas, the second first", records{"3.1", "4.1"}, records{"1.1", "2.1"}, 0, 0, records{"1", "2", "3", "4"}},
		{"the older area is in the bucket", records{"1.1", "2.1"}, records{"3.1", "4.1"}, 2, 0, records{"3", "4"}},
		{"the older area is torn, and in the bucket", records{"1.1", "2.1!"}, records{"3.1"}, 2, 0, records{"3"}},
		{"the older area is torn", records{"1.1", "2.1!"}, records{"3.1", "4.1"}, 0, 0, records{"1"}},
		{"a torn tail", records{"1.1", "2.1!"}, nil, 0, 0, records{"1"}},
		{"a torn record before whole ones", records{"1.1", "2.1!", "3.1"}, nil, 0, 0, records{"1"}},
		{"an older use of the area behind the end", records{"7.1", "8.1", "3.1"}, nil, 6, 0, records{"7", "8"}},
		{"a number that does not follow", records{"1.1", "3.1"}, nil, 0, 0, records{"1"}},
		{"what a power cut left of an earlier epoch, where it would follow", records{"1.2", "2.1"}, nil, 0, 0, records{"1"}},
		{"the same in the other area", records{"1.2"}, records{"2.1"}, 0, 0, records{"1"}},
		{"a later epoch", records{"1.1"}, records{"2.2"}, 0, 0, records{"1", "2"}},
		{"below the floor", records{"11.1", "12.1"}, nil, 10, 2, nil},
		{"at the floor", records{"11.2", "12.2"}, nil, 10, 2, records{"11", "12"}},
		{"the floor and the other area", records{"5.2"}, records{"6.1"}, 4, 2, records{"5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := layout{id: newID(), area: smallestArea}
			dev := block.NewMemory(journalHeader + 2*smallestArea)
			for area, all := range []records{c.first, c.second} {
				at := l.start(area)
				for _, text := range all {
					var number uint64
					var epoch uint32
					fmt.Sscanf(text, "%d.%d", &number, &epoch)
					data := bytes.Repeat([]byte{byte(number)}, 100)
					b := record{epoch, recordWrite, number, 4096, 100}.appendTo(nil, l.id, data)
					if text[len(text)-1] == '!' {
						b[60]++
					}
					if _, err := dev.WriteAt(b, at); err != nil {
						t.Fatal(err)
					}
					at += int64(len(b))
				}
			}
			var got records
			end, err := l.scan(dev, place{uint64(c.applied), uint32(c.floor)}, func(r record, data []byte) error {
				got = append(got, fmt.Sprint(r.number))
				if len(data) != 100 || data[99] != byte(r.number) {
					t.Errorf("record %d has the data %x", r.number, data)
				}
				return nil
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v (%v), want %v", got, err, c.want)
			}
			if end.number != uint64(c.applied+len(c.want)) {
				t.Errorf("the end is %v", end)
			}
		})
	}
}

// TestForgedRecord has a user write what looks like a record to where the next record
// is read: without the id of the journal it is none.
func TestForgedRecord(t *testing.T) {
	l := layout{id: newID(), area: smallestArea}
	dev := block.NewMemory(journalHeader + 2*smallestArea)
	forged := record{1, recordZero, 2, 0, 1 << 20}.appendTo(nil, journalID{}, nil)
	b := record{1, recordZero, 1, 0, 1}.appendTo(nil, l.id, nil)
	dev.WriteAt(append(b, forged...), l.start(0))
	if end, err := l.scan(dev, place{}, func(record, []byte) error { return nil }); end.number != 1 || err != nil {
		t.Errorf("the journal ends at %v (%v)", end, err)
	}
}

// TestScanEnds ends with the error of who takes the records, or of the device.
func TestScanEnds(t *testing.T) {
	l := layout{id: newID(), area: smallestArea}
	dev := block.NewMemory(journalHeader + 2*smallestArea)
	dev.WriteAt(record{1, recordZero, 1, 0, 1}.appendTo(nil, l.id, nil), l.start(0))
	want := errors.New("enough")
	if _, err := l.scan(dev, place{}, func(record, []byte) error { return want }); err != want {
		t.Errorf("%v", err)
	}
}

// FuzzJournal reads journals of which any byte is anything: there is no panic, no
// record that does not follow, and none beyond its area.
func FuzzJournal(f *testing.F) {
	l := layout{id: journalID{1}, disk: "00112233445566778899aabbccddeeff", area: smallestArea}
	area := record{1, recordWrite, 1, 0, 5}.appendTo(nil, l.id, []byte("hello"))
	area = record{1, recordZero, 2, 0, 5}.appendTo(area, l.id, nil)
	area = record{2, recordResize, 3, 1 << 20, 0}.appendTo(area, l.id, nil)
	f.Add(l.encode(), area, []byte{}, uint64(0), uint32(0))
	f.Add(l.encode(), area[:50], area, uint64(1), uint32(1))
	f.Fuzz(func(t *testing.T, header, first, second []byte, applied uint64, floor uint32) {
		size := int64(journalHeader + 2*smallestArea)
		if got, err := decodeLayout(header, size); err == nil {
			if got.start(2) > size || got.area < smallestArea {
				t.Fatalf("the layout %+v of a device of %d bytes", got, size)
			}
			if again, err := decodeLayout(got.encode(), size); err != nil || again != got {
				t.Fatalf("%+v is read as %+v (%v)", got, again, err)
			}
		}
		dev := block.NewMemory(size)
		dev.WriteAt(first[:min(len(first), smallestArea)], l.start(0))
		dev.WriteAt(second[:min(len(second), smallestArea)], l.start(1))
		last := place{applied, floor}
		end, err := l.scan(dev, last, func(r record, data []byte) error {
			if r.number != last.number+1 || r.epoch < last.epoch || r.off < 0 || r.length < 0 || r.off+r.length < 0 {
				t.Fatalf("%+v after %+v", r, last)
			}
			if r.kind == recordWrite && int64(len(data)) != r.length || r.kind != recordWrite && len(data) != 0 {
				t.Fatalf("%+v has %d bytes", r, len(data))
			}
			last = place{r.number, r.epoch}
			return nil
		})
		if err != nil || end != last {
			t.Fatalf("the end is %+v after %+v (%v)", end, last, err)
		}
	})
}
