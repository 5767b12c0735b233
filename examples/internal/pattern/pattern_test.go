package pattern

import (
	"bytes"
	"errors"
	"testing"
)

func TestWrite(t *testing.T) {
	p := New()
	for _, n := range []int64{0, 1, 1000, period, period + 1, 3*period + 5} {
		var b bytes.Buffer
		if err := p.Write(&b, n); err != nil || int64(b.Len()) != n {
			t.Errorf("%d bytes, %v; want %d", b.Len(), err, n)
		}
		for i, c := range b.Bytes() {
			if c != p[i%period] {
				t.Fatalf("byte %d of %d is wrong", i, n)
			}
		}
	}
	if !bytes.Equal(p, New()) {
		t.Error("the next pattern is another one")
	}
}

// TestSegmentsDiffer shows that segments of any usual size cannot be mistaken
// for each other.
func TestSegmentsDiffer(t *testing.T) {
	var b bytes.Buffer
	New().Write(&b, 3*period)
	for _, size := range []int{536, 1448, 1460, 65160, 1 << 20} {
		seen := map[string]bool{}
		for text := b.Bytes(); len(text) >= size; text = text[size:] {
			if s := string(text[:16]); seen[s] {
				t.Fatalf("two segments of %d bytes begin in the same way", size)
			} else {
				seen[s] = true
			}
		}
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteFails(t *testing.T) {
	if err := New().Write(broken{}, 10); err != errBroken {
		t.Errorf("error %v", err)
	}
}
