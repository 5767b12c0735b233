package nbd

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Bounds on what a server may say during the handshake.
const (
	maxReplyData   = 64 << 10 // of one reply to an option
	maxReplies     = 16384    // to one option: exports in a list above all
	maxListedBytes = 16 << 20 // of names and descriptions
)

// errTLSRefused and others say why a handshake failed where no answer of the server does.
var (
	errTLSRefused = errors.New("nbd: the server does not offer TLS")
	errInjected   = errors.New("nbd: the server sent something in the clear behind its consent to TLS")
	errReplies    = errors.New("nbd: the server answers an option without end")
)

// An OptionError is an error by which a server refuses what the handshake asks of
// it.
type OptionError struct {
	Option  string // by its name in the specification
	Reply   string // the same
	Message string // the server's own words, if any
}

func (e *OptionError) Error() string {
	s := fmt.Sprintf("nbd: the server refuses %s: %s", e.Option, e.Reply)
	if e.Message != "" {
		s += fmt.Sprintf(" (%q)", e.Message)
	}
	return s
}

// ExportInfo is what a server tells of an export.
type ExportInfo struct {
	Name, Description string
	Size              int64 // -1 in a list where the server does not tell it
	Flags             Flags
	// Block sizes in bytes; zero where the server tells none.
	MinimumBlockSize, PreferredBlockSize, MaximumRequestSize uint32
	Contexts                                                 []string // meta contexts that were chosen, or in a list are there
}

// A clientStep is what the process around a clientNegotiation does next, after it
// has sent what the machine gave it.
type clientStep uint8

const (
	clientReply  clientStep = iota // read a reply to an option
	clientTLS                      // begin the TLS handshake, then startedTLS
	clientExport                   // read the reply to EXPORT_NAME, then exportReply
	clientDone                     // the handshake is over
)

// A clientNegotiation is the client's side of the handshake: a pure machine of what
// the server says in, options and a step out. Its first fields are what is wanted.
type clientNegotiation struct {
	export   string
	contexts []string
	tls      bool
	list     bool        // LIST and INFO of each, instead of GO
	most     headerStyle // the best style of headers to ask for

	noZeroes bool
	style    headerStyle
	option   option // that waits for its replies
	replies  int    // to it
	bytes    int    // of a list
	got      bool   // INFO_EXPORT has come

	info   ExportInfo
	ids    []uint32 // of info.Contexts
	listed []ExportInfo
	asked  int // of listed, by INFO or LIST_META_CONTEXT
}

// greeting takes the server's first message.
func (n *clientNegotiation) greeting(b []byte) (out []byte, step clientStep, err error) {
	flags, err := parseGreeting(b)
	if err != nil {
		return nil, clientDone, err
	}
	n.noZeroes = flags&flagNoZeroes != 0
	answer := flags & (flagFixedNewstyle | flagNoZeroes)
	out = []byte{0, 0, 0, byte(answer)}
	if flags&flagFixedNewstyle == 0 {
		if n.tls {
			return nil, clientDone, errTLSRefused
		}
		if n.list {
			return nil, clientDone, &OptionError{Option: optList.String(), Reply: "it is no fixed newstyle server"}
		}
		return n.exportName(out), clientExport, nil
	}
	if n.tls {
		return n.send(out, optStartTLS, nil), clientReply, nil
	}
	return n.begin(out), clientReply, nil
}

// startedTLS goes on behind the TLS handshake.
func (n *clientNegotiation) startedTLS() []byte { return n.begin(nil) }

// begin asks for the style of headers.
func (n *clientNegotiation) begin(out []byte) []byte {
	switch n.most {
	case headersExtended:
		return n.send(out, optExtendedHeaders, nil)
	case headersStructured:
		return n.send(out, optStructuredReply, nil)
	}
	return n.choose(out)
}

// choose goes on when the style of headers is settled.
func (n *clientNegotiation) choose(out []byte) []byte {
	switch {
	case n.list:
		return n.send(out, optList, nil)
	case n.style != headersSimple && len(n.contexts) > 0:
		return n.send(out, optSetMetaContext, appendMetaRequest(nil, metaRequest{n.export, n.contexts}))
	}
	return n.enter(out)
}

// enter asks for the export.
func (n *clientNegotiation) enter(out []byte) []byte {
	n.info.Name, n.got = n.export, false
	return n.send(out, optGo, appendInfoRequest(nil, infoRequest{n.export, []infoType{infoName, infoDescription, infoBlockSize}}))
}

// exportName is the way of servers that know no GO.
func (n *clientNegotiation) exportName(out []byte) []byte {
	n.info = ExportInfo{Name: n.export, Contexts: n.info.Contexts}
	return n.send(out, optExportName, []byte(n.export))
}

func (n *clientNegotiation) send(out []byte, o option, data []byte) []byte {
	n.option, n.replies = o, 0
	return appendOption(out, o, data)
}

// exportReply takes the reply to EXPORT_NAME, of exportReplySize bytes. The zeroes
// behind it, unless noZeroes is set, are the caller's to skip.
func (n *clientNegotiation) exportReply(b []byte) error {
	size, flags, err := parseExportReply(b)
	if err != nil {
		return err
	}
	return n.setExport(&n.info, size, flags)
}

// reply takes one reply to the option that was sent last.
func (n *clientNegotiation) reply(r optionReply, data []byte) (out []byte, step clientStep, err error) {
	if r.option != n.option {
		return nil, clientDone, fmt.Errorf("nbd: a reply to %v, where one to %v is due", r.option, n.option)
	}
	if n.replies++; n.replies > maxReplies {
		return nil, clientDone, errReplies
	}
	if r.typ.isError() {
		return n.refused(r, data)
	}
	if r.typ == repAck {
		if len(data) > 0 {
			return nil, clientDone, fmt.Errorf("nbd: an ACK of %v with %d bytes of data", r.option, len(data))
		}
		return n.ack()
	}
	switch {
	case r.typ == repServer && n.option == optList:
		err = n.takeServer(data)
	case r.typ == repInfo && n.option == optGo:
		err = n.takeInfo(&n.info, data)
	case r.typ == repInfo && n.option == optInfo:
		err = n.takeInfo(&n.listed[n.asked], data)
	case r.typ == repMetaContext && n.option == optSetMetaContext:
		err = n.takeContext(&n.info, data)
	case r.typ == repMetaContext && n.option == optListMetaContext:
		err = n.takeContext(&n.listed[n.asked], data)
	default:
		err = fmt.Errorf("nbd: %v is answered by %v", n.option, r.typ)
	}
	return nil, clientReply, err
}

// refused takes an error. Some leave another way open.
func (n *clientNegotiation) refused(r optionReply, data []byte) ([]byte, clientStep, error) {
	message := string(data[:min(len(data), maxString)])
	refusal := &OptionError{n.option.String(), r.typ.String(), message}
	if r.typ == repErrShutdown || r.typ == repErrTLSRequired && !n.list {
		return nil, clientDone, refusal
	}
	switch n.option {
	case optStartTLS:
		return nil, clientDone, fmt.Errorf("%w: %w", errTLSRefused, refusal)
	case optExtendedHeaders:
		return n.send(nil, optStructuredReply, nil), clientReply, nil
	case optStructuredReply:
		return n.choose(nil), clientReply, nil
	case optSetMetaContext:
		if r.typ == repErrUnknown { // the export, as GO would tell it
			return nil, clientDone, refusal
		}
		n.info.Contexts, n.ids = nil, nil
		return n.enter(nil), clientReply, nil
	case optGo:
		// EXPORT_NAME must not be used with extended headers, and cannot tell that
		// a name is unknown.
		if r.typ == repErrUnsup && n.style != headersExtended {
			return n.exportName(nil), clientExport, nil
		}
	case optInfo, optListMetaContext:
		return n.nextListed()
	}
	return nil, clientDone, refusal
}

// ack goes on behind an option that succeeded.
func (n *clientNegotiation) ack() ([]byte, clientStep, error) {
	switch n.option {
	case optStartTLS:
		return nil, clientTLS, nil
	case optExtendedHeaders:
		n.style = headersExtended
		return n.choose(nil), clientReply, nil
	case optStructuredReply:
		n.style = headersStructured
		return n.choose(nil), clientReply, nil
	case optSetMetaContext:
		return n.enter(nil), clientReply, nil
	case optGo:
		if !n.got {
			return nil, clientDone, errors.New("nbd: the server consents to GO without telling of the export")
		}
		return nil, clientDone, n.info.check()
	case optList:
		n.asked = -1
		return n.nextListed()
	case optInfo:
		if e := &n.listed[n.asked]; n.style != headersSimple {
			e.Contexts = nil
			return n.send(nil, optListMetaContext, appendMetaRequest(nil, metaRequest{e.Name, nil})), clientReply, nil
		}
		return n.nextListed()
	case optListMetaContext:
		return n.nextListed()
	}
	return nil, clientDone, fmt.Errorf("nbd: an ACK of %v", n.option)
}

// nextListed asks about the next export of a list.
func (n *clientNegotiation) nextListed() ([]byte, clientStep, error) {
	if n.asked++; n.asked < len(n.listed) {
		return n.send(nil, optInfo, appendInfoRequest(nil, infoRequest{n.listed[n.asked].Name, []infoType{infoDescription, infoBlockSize}})), clientReply, nil
	}
	return n.send(nil, optAbort, nil), clientDone, nil // servers end without another word
}

// takeServer takes one export of a list.
func (n *clientNegotiation) takeServer(data []byte) error {
	name, description, err := parseServer(data)
	if err != nil {
		return err
	}
	if n.bytes += len(data); n.bytes > maxListedBytes {
		return errReplies
	}
	n.listed = append(n.listed, ExportInfo{Name: name, Description: description, Size: -1})
	return nil
}

// takeContext takes one meta context.
func (n *clientNegotiation) takeContext(e *ExportInfo, data []byte) error {
	id, name, err := parseMetaContext(data)
	if err != nil {
		return err
	}
	if len(e.Contexts) == maxMetaContexts {
		return fmt.Errorf("nbd: the server has more than %d meta contexts", maxMetaContexts)
	}
	if n.option == optSetMetaContext {
		wanted := false
		for _, c := range n.contexts {
			wanted = wanted || c == name
		}
		for i := range n.ids {
			wanted = wanted && n.ids[i] != id && e.Contexts[i] != name
		}
		if !wanted {
			return fmt.Errorf("nbd: the server chose the meta context %q, which was not asked for or is there twice", name)
		}
		n.ids = append(n.ids, id)
	}
	e.Contexts = append(e.Contexts, name)
	return nil
}

// takeInfo takes one piece of information about an export.
func (n *clientNegotiation) takeInfo(e *ExportInfo, data []byte) error {
	i, err := parseInfo(data)
	if err != nil {
		return err
	}
	switch i.typ {
	case infoExport:
		n.got = true
		return n.setExport(e, i.size, i.flags)
	case infoName:
		if n.option == optGo {
			e.Name = i.text
		}
	case infoDescription:
		if n.bytes += len(data); n.list && n.bytes > maxListedBytes {
			return errReplies
		}
		e.Description = i.text
	case infoBlockSize:
		e.MinimumBlockSize, e.PreferredBlockSize, e.MaximumRequestSize = i.minimum, i.preferred, i.maximum
	}
	return nil
}

// setExport takes size and flags. Without HAS_FLAGS no other flag means anything.
func (n *clientNegotiation) setExport(e *ExportInfo, size uint64, flags Flags) error {
	if size > math.MaxInt64 {
		return fmt.Errorf("nbd: the export has an impossible size of %d bytes", size)
	}
	if !flags.Has(FlagHasFlags) {
		flags = 0
	}
	e.Size, e.Flags = int64(size), flags
	return nil
}

// check refuses block sizes that the specification forbids (Size constraints).
func (e *ExportInfo) check() error {
	low, mid, high := e.MinimumBlockSize, e.PreferredBlockSize, e.MaximumRequestSize
	if low == 0 && mid == 0 && high == 0 {
		return nil
	}
	if bits.OnesCount32(low) != 1 || low > maxMinimumBlockSize || bits.OnesCount32(mid) != 1 || mid < low ||
		high < low || high != math.MaxUint32 && high%low != 0 {
		return fmt.Errorf("nbd: the export has impossible block sizes: %d, %d, %d", low, mid, high)
	}
	if e.Size%int64(low) != 0 {
		return fmt.Errorf("nbd: the export has %d bytes, which is no multiple of its block size %d", e.Size, low)
	}
	return nil
}
