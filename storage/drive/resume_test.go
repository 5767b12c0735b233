package drive

import (
	"context"
	"slices"
	"testing"
)

// keeping is a Backend whose medium outlives the program.
type keeping struct {
	nowhere
	ejected bool   // a machine has ejected it meanwhile
	asked   []bool // what Resume was told
}

func (b *keeping) Resume(_ context.Context, connected bool) bool {
	b.asked = append(b.asked, connected)
	return connected && !b.ejected
}

// TestResume has drives begin again of which a machine has ejected one meanwhile. That one
// stays disconnected, also the next time; the other never says that it is disconnected.
func TestResume(t *testing.T) {
	for name, c := range map[string]struct {
		first, second bool // what the two backends say was ejected
		asked         []bool
	}{
		"there still":           {false, false, []bool{true}},
		"ejected from the last": {false, true, []bool{true, false}},
		"ejected from both":     {true, true, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			store := storeOfOne(t)
			for i := range 3 {
				first, second := new(keeping), new(keeping)
				if i == 1 {
					first.ejected, second.ejected = c.first, c.second
				}
				d, err := New(Config{Store: store, Backend: Several(new(nowhere), first, second)})
				if err != nil {
					t.Fatal(err)
				}
				image := "a.img"
				state, _ := d.State()
				switch i {
				case 0:
					if err := d.SetParams(t.Context(), Params{Image: &image}); err != nil {
						t.Fatal(err)
					}
					if err := d.Connect(t.Context()); err != nil {
						t.Fatal(err)
					}
				case 1:
					if !slices.Equal(first.asked, c.asked) {
						t.Errorf("the first was asked %v, want %v", first.asked, c.asked)
					}
					fallthrough
				default:
					want := !c.first && !c.second
					if got := state.Busy || state.Connected; got != want || state.Image == nil || state.Image.Name != image {
						t.Errorf("beginning %d: the state is %+v", i, state)
					}
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
