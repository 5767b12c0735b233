package usb

import (
	"bufio"
	"io"
)

// outputSize is the buffer for answers, in bytes.
const outputSize = 64 << 10

// Report tells the host how transfers have ended, each by answer, until the session
// ends: for the goroutine that reads Completed. Answers that are ready together are
// written together. After an error it closes c, and drops what there is to tell.
func (s *Session) Report(c io.WriteCloser, answer func(out *bufio.Writer, t *Transfer) error) {
	out := bufio.NewWriterSize(c, outputSize)
	var failed error
	for t := range s.Completed() {
		if failed == nil {
			failed = answer(out, t)
		}
		t.Release()
		if failed == nil && len(s.Completed()) == 0 {
			failed = out.Flush()
		}
		if failed != nil {
			c.Close()
		}
	}
}

var zeroes [32 << 10]byte

// WriteData writes what goes to the host: Data, and Zeroes behind it.
func (t *Transfer) WriteData(w io.Writer) error {
	if _, err := w.Write(t.Data); err != nil {
		return err
	}
	for n := t.Zeroes; n > 0; n -= min(n, len(zeroes)) {
		if _, err := w.Write(zeroes[:min(n, len(zeroes))]); err != nil {
			return err
		}
	}
	return nil
}
