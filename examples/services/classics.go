package main

import (
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// A service is one of the small servers of RFC 862 to 867.
type service struct {
	name   string
	port   int
	serve  func(c net.Conn)             // until the peer has had enough; the caller closes c
	answer func(datagram []byte) []byte // nil: none; valid until the next call
}

var classics = []service{
	{"echo", 7, echo, func(datagram []byte) []byte { return datagram }},
	{"discard", 9, discard, func([]byte) []byte { return nil }},
	{"daytime", 13, daytime, func([]byte) []byte { return now() }},
	{"chargen", 19, chargen, func([]byte) []byte { return characters[:rand.IntN(513)] }},
}

// echo (RFC 862). A *tcp.Conn is an io.WriterTo: nothing is copied here.
func echo(c net.Conn) { io.Copy(c, c) }

// discard (RFC 863).
func discard(c net.Conn) { io.Copy(io.Discard, c) }

// daytime (RFC 867).
func daytime(c net.Conn) { c.Write(now()) }

func now() []byte { return time.Now().AppendFormat(nil, "Monday, January 2, 2006 15:04:05-MST\r\n") }

// chargen (RFC 864).
func chargen(c net.Conn) {
	go discard(c) // ends with c
	for {
		if _, err := c.Write(characters); err != nil {
			return
		}
	}
}

// What chargen sends: lines of 72 of the 95 printable characters of ASCII,
// each beginning one character on.
const (
	lineLen   = 72
	printable = 95
	rounds    = 37 // make the buffer as long as four trains
)

var characters = rotate()

func rotate() (text []byte) {
	for line := range rounds * printable {
		for i := range lineLen {
			text = append(text, byte(' '+(line+i)%printable))
		}
		text = append(text, "\r\n"...)
	}
	return text
}
