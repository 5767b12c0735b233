package tcp

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// The commands of scripts that open connections.

// listen is "listen" or "listen fastopen 2": so many may be accepted early.
func (r *runner) listen(args string) error {
	r.listening = true
	if args == "" {
		return nil
	}
	_, err := fmt.Sscanf(args, "fastopen %d", &r.listener.fastOpenLimit)
	return err
}

// dial is a Fast Open, "dial 500 cookie 0102030405060708 mss 1000", with so
// much text; without a cookie, "dial 500", it asks for one.
func (r *runner) dial(args string) error {
	words := strings.Fields(args)
	n, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	o := &fastOpen{offer: cookie{present: true}}
	if len(words) == 5 {
		value, err := hex.DecodeString(words[2])
		if err != nil {
			return err
		}
		o.offer.parse(value)
		if o.mss, err = strconv.Atoi(words[4]); err != nil {
			return err
		}
	}
	r.node.open()
	r.t.fastOpen = o
	for i := range n {
		r.t.sendq.append([]byte{ourByte(i)})
	}
	r.written = n
	return nil
}

// cookies puts our own for a peer in the place of "FO good", and the one before
// for "FO former".
func (r *runner) cookies(text string) string {
	i := 0
	if strings.Contains(text, "FO former") {
		i = 1
	}
	f := peerFlow(1)
	r.fastOpens.cookies.rotate(r.now)
	c := r.fastOpens.cookies.cookie(i, f)
	return strings.NewReplacer("FO good", c.String(), "FO former", c.String()).Replace(text)
}
