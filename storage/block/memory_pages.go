package block

// PageSize is the size of a page in bytes, 64 KB.
func (m *Memory) PageSize() int { return pageSize }

// ExchangePage writes a whole page at off, a multiple of PageSize, without a copy: the
// device takes page, which the caller must not touch any more, and the caller gets the
// memory of the old one, or nil where there was none. With an error page is the caller's.
func (m *Memory) ExchangePage(page []byte, off int64) (old []byte, err error) {
	if err := m.check(off, pageSize); err != nil {
		return nil, err
	}
	if off%pageSize != 0 || len(page) != pageSize {
		return nil, ErrAlignment
	}
	bytes := (*[pageSize]byte)(page)
	p, taken, err := m.makePage(off/pageSize, bytes)
	if err != nil || taken {
		return nil, err
	}
	p.Lock()
	defer p.Unlock()
	p.bytes, bytes = bytes, p.bytes
	if p.lent.Swap(0) > 0 {
		return nil, nil // those who hold the old page keep it
	}
	return bytes[:], nil
}

// own makes the bytes of a page that somebody holds ones that may change, by a copy. The
// lock is held.
func (p *memoryPage) own() {
	if p.lent.Load() > 0 {
		bytes := *p.bytes
		p.bytes = &bytes
		p.lent.Store(0)
	}
}

// A Loan is a part of a page as it was when it was lent: what is written later is not
// seen in it.
type Loan struct {
	Bytes []byte // to be read only

	page  *memoryPage // nil of a hole
	bytes *[pageSize]byte
}

// emptyPage is what holes read as.
var emptyPage [pageSize]byte

// Lend reads without a copy: it appends parts of pages that are together the range to
// loans. Each must be given back. A page that is written meanwhile is copied before.
func (m *Memory) Lend(loans []Loan, off, length int64) ([]Loan, error) {
	if err := m.check(off, length); err != nil {
		return loans, err
	}
	for end := off + length; off < end; {
		from := off % pageSize
		to := min(pageSize, from+end-off)
		l := Loan{page: m.page(off / pageSize)}
		if p := l.page; p == nil {
			l.Bytes = emptyPage[from:to]
		} else {
			p.RLock()
			p.lent.Add(1)
			l.bytes = p.bytes
			p.RUnlock()
			l.Bytes = l.bytes[from:to]
		}
		loans = append(loans, l)
		off += to - from
	}
	return loans, nil
}

// Return gives back what was lent.
func (l Loan) Return() {
	if l.page == nil {
		return
	}
	l.page.RLock()
	if l.page.bytes == l.bytes { // otherwise the page has others by now
		l.page.lent.Add(-1)
	}
	l.page.RUnlock()
}
