package packet

import "testing"

// TestLend: the text of a lent packet stays until both have released it, in
// whatever order, and is not changed by who borrows it.
func TestLend(t *testing.T) {
	for _, lenderFirst := range []bool{false, true} {
		live := Live()
		b := Get(100)
		copy(b.Extend(100), "text that must outlive its way")
		if !b.Home() || b.Own() != b {
			t.Fatal("a new Buffer is lent")
		}
		b.Lend(4)
		if b.Home() || !b.Lent() || string(b.Bytes()) != "text" || b.Room() != 0 {
			t.Errorf("lent: home %v, %q, room %d", b.Home(), b.Bytes(), b.Room())
		}
		copy(b.Push(3), "tcp") // the headers are the borrower's
		c := b.Own()           // a clone: the borrower has let go
		if c == b || c.Lent() || string(c.Bytes()) != "tcptext" || !b.Home() {
			t.Errorf("Own: the same %v, lent %v, %q", c == b, c.Lent(), c.Bytes())
		}
		c.Release()
		b.Lend(30)
		if string(b.Bytes()) != "text that must outlive its way" || b.Home() {
			t.Errorf("lent again: %q, home %v", b.Bytes(), b.Home())
		}
		b.Release()
		if !lenderFirst && !b.Home() {
			t.Error("released by the borrower, and not home")
		}
		if Checked && Live() != live+1 {
			t.Errorf("%d live, one of two holders is left", Live()-live)
		}
		b.Release()
		if Live() != live {
			t.Errorf("%d live at the end", Live()-live)
		}
	}
}

// TestLendRace: the borrower does what holders do while the lender lets go.
func TestLendRace(t *testing.T) {
	live := Live()
	for range 100 {
		b := Get(1000)
		b.Extend(1000)
		b.Lend(1000)
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.Clone().Release()
			b.Push(20)
			b.Room()
			b.Own().Release()
		}()
		b.Release()
		<-done
	}
	if Live() != live {
		t.Errorf("%d live at the end", Live()-live)
	}
}
