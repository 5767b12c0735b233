package nbd

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
)

// A catalog is the exports that one client may see: what the negotiation asks of
// the server around it.
type catalog interface {
	// list calls yield with all exports, in the order of their names.
	list(state *tls.ConnectionState, yield func(*served) bool)
	// find returns an export by its name, or by the empty name the default one.
	find(state *tls.ConnectionState, name string) *served
	// secrets says whether there are exports that only clients with TLS may see.
	secrets() bool
	// shutdown says that no more clients are taken.
	shutdown() bool
}

// A step is what the process around a negotiation does next, after it has sent the
// reply.
type step uint8

const (
	stepOption   step = iota // read the next option
	stepTLS                  // begin the TLS handshake
	stepTransmit             // serve requests of the export
	stepEnd                  // close the connection
)

// A negotiation is the server's side of the handshake: a pure machine of one
// option in, replies and a step out.
type negotiation struct {
	exports catalog
	mode    TLSMode
	noList  bool

	fixed    bool // the client speaks fixed newstyle, and gets replies
	noZeroes bool
	state    *tls.ConnectionState // nil without TLS
	style    headerStyle

	// The meta contexts that were set last, and for which name.
	metaName string
	selected []metaSelection

	export *served // what stepTransmit serves
}

// A metaSelection is a context that a client has chosen, by the number that
// replies name it by.
type metaSelection struct {
	id      uint32
	context MetaContext
}

// clientFlags takes the answer to the greeting.
func (n *negotiation) clientFlags(flags uint32) step {
	n.fixed = flags&flagFixedNewstyle != 0
	n.noZeroes = flags&flagNoZeroes != 0
	if flags&^(flagFixedNewstyle|flagNoZeroes) != 0 {
		return stepEnd
	}
	return stepOption
}

// startedTLS forgets all that was negotiated in the clear (NBD_OPT_STARTTLS).
func (n *negotiation) startedTLS(state *tls.ConnectionState) {
	n.state = state
	n.style = headersSimple
	n.metaName, n.selected = "", nil
}

// option takes one option with its data and appends the replies to out.
func (n *negotiation) option(o option, data, out []byte) ([]byte, step) {
	if o == optExportName {
		return n.exportName(data, out)
	}
	if !n.fixed { // newstyle that is not fixed has no replies
		return out, stepEnd
	}
	if o == optAbort {
		return appendOptionReply(out, o, repAck, nil), stepEnd
	}
	if n.exports.shutdown() {
		return refuse(out, o, repErrShutdown, "the server is shutting down"), stepOption
	}
	if o == optStartTLS {
		return n.startTLS(data, out)
	}
	if n.mode == TLSRequired && n.state == nil {
		return refuse(out, o, repErrTLSRequired, "this server takes clients with TLS only"), stepOption
	}
	switch o {
	case optList:
		return n.list(data, out), stepOption
	case optInfo, optGo:
		return n.info(o, data, out)
	case optStructuredReply, optExtendedHeaders:
		return n.headers(o, data, out), stepOption
	case optListMetaContext, optSetMetaContext:
		return n.metaContext(o, data, out), stepOption
	}
	return refuse(out, o, repErrUnsup, "the server does not know this option"), stepOption
}

// tooBig answers an option whose data is too long to be looked at.
func (n *negotiation) tooBig(o option, out []byte) ([]byte, step) {
	if o == optExportName || !n.fixed {
		return out, stepEnd
	}
	if o == optSetMetaContext {
		n.metaName, n.selected = "", nil
	}
	return refuse(out, o, repErrTooBig, "the option has too much data"), stepOption
}

// refuse appends an error with a message for people.
func refuse(out []byte, o option, t replyType, message string) []byte {
	return appendOptionReply(out, o, t, []byte(message))
}

// exportName cannot tell errors: the connection ends instead.
func (n *negotiation) exportName(data, out []byte) ([]byte, step) {
	name, err := parseString(data)
	if err != nil || n.mode == TLSRequired && n.state == nil || n.style == headersExtended || n.exports.shutdown() {
		return out, stepEnd
	}
	x := n.exports.find(n.state, name)
	if x == nil {
		return out, stepEnd
	}
	n.enter(x, name)
	return appendExportReply(out, uint64(x.size.Load()), x.flags(n.style, len(n.selected) > 0), !n.noZeroes), stepTransmit
}

// enter chooses x, which the client calls name.
func (n *negotiation) enter(x *served, name string) {
	n.export = x
	if n.metaName != name {
		n.selected = nil
	}
}

func (n *negotiation) startTLS(data, out []byte) ([]byte, step) {
	switch {
	case n.mode == TLSOff:
		return refuse(out, optStartTLS, repErrPolicy, "the server has no TLS"), stepOption
	case len(data) > 0:
		return refuse(out, optStartTLS, repErrInvalid, "STARTTLS has no data"), stepOption
	case n.state != nil:
		return refuse(out, optStartTLS, repErrInvalid, "TLS has been started already"), stepOption
	}
	return appendOptionReply(out, optStartTLS, repAck, nil), stepTLS
}

func (n *negotiation) list(data, out []byte) []byte {
	if len(data) > 0 {
		return refuse(out, optList, repErrInvalid, "LIST has no data")
	}
	if n.noList {
		return refuse(out, optList, repErrPolicy, "this server does not list its exports")
	}
	n.exports.list(n.state, func(x *served) bool {
		out = appendOptionReply(out, optList, repServer, appendServer(nil, x.Name, x.Description))
		return true
	})
	return appendOptionReply(out, optList, repAck, nil)
}

func (n *negotiation) headers(o option, data, out []byte) []byte {
	switch {
	case len(data) > 0:
		return refuse(out, o, repErrInvalid, "the option has no data")
	case o == optExtendedHeaders:
		n.style = headersExtended
	case n.style == headersExtended:
		return refuse(out, o, repErrExtendedRequired, "extended headers were negotiated already")
	default:
		n.style = headersStructured
	}
	return appendOptionReply(out, o, repAck, nil)
}

// unknown refuses a name. A client without TLS does not learn whether it is that of
// an export which it may not see.
func (n *negotiation) unknown(out []byte, o option) []byte {
	if n.state == nil && n.mode != TLSOff && n.exports.secrets() {
		return refuse(out, o, repErrTLSRequired, "no export of this name can be used without TLS")
	}
	return refuse(out, o, repErrUnknown, "there is no export of this name")
}

// info answers INFO and GO.
func (n *negotiation) info(o option, data, out []byte) ([]byte, step) {
	r, err := parseInfoRequest(data)
	if err != nil {
		return refuse(out, o, repErrInvalid, err.Error()), stepOption
	}
	x := n.exports.find(n.state, r.name)
	if x == nil {
		return n.unknown(out, o), stepOption
	}
	contexts := len(n.selected) > 0 && n.metaName == r.name
	add := func(i info) { out = appendOptionReply(out, o, repInfo, appendInfo(nil, i)) }
	add(info{typ: infoExport, size: uint64(x.size.Load()), flags: x.flags(n.style, contexts)})
	if slices.Contains(r.infos, infoName) {
		add(info{typ: infoName, text: x.Name})
	}
	if slices.Contains(r.infos, infoDescription) && x.Description != "" {
		add(info{typ: infoDescription, text: x.Description})
	}
	if slices.Contains(r.infos, infoBlockSize) {
		add(info{typ: infoBlockSize, minimum: x.MinimumBlockSize, preferred: x.PreferredBlockSize, maximum: x.MaximumRequestSize})
	}
	out = appendOptionReply(out, o, repAck, nil)
	if o == optInfo {
		return out, stepOption
	}
	n.enter(x, r.name)
	return out, stepTransmit
}

// metaContext answers LIST_META_CONTEXT and SET_META_CONTEXT. The latter replaces
// what was set before also where it fails.
func (n *negotiation) metaContext(o option, data, out []byte) []byte {
	set := o == optSetMetaContext
	if set {
		n.metaName, n.selected = "", nil
	}
	if n.style == headersSimple {
		return refuse(out, o, repErrInvalid, "meta contexts need structured replies or extended headers")
	}
	r, err := parseMetaRequest(data)
	if errors.Is(err, errString) {
		return refuse(out, o, repErrTooBig, err.Error())
	} else if err != nil {
		return refuse(out, o, repErrInvalid, err.Error())
	}
	for _, q := range r.queries {
		if namespace(q) == "" {
			return refuse(out, o, repErrInvalid, "a query has no namespace")
		}
	}
	x := n.exports.find(n.state, r.name)
	if x == nil {
		return n.unknown(out, o)
	}
	for i, c := range x.contexts {
		if c.Wide && n.style != headersExtended || !asked(r.queries, c.Name, set) {
			continue
		}
		id := uint32(0) // reserved in a list
		if set {
			id = uint32(i + 1)
			n.selected = append(n.selected, metaSelection{id, c})
		}
		out = appendOptionReply(out, o, repMetaContext, appendMetaContext(nil, id, c.Name))
	}
	if set {
		n.metaName = r.name
	}
	return appendOptionReply(out, o, repAck, nil)
}

// asked says whether queries name the context. A namespace alone, and no query at
// all, ask for all in a list and for nothing in a choice.
func asked(queries []string, name string, set bool) bool {
	if len(queries) == 0 {
		return !set
	}
	return slices.ContainsFunc(queries, func(q string) bool {
		return q == name || !set && q == namespace(name)+":"
	})
}

// namespace is what stands before the colon in the name of a context, or empty.
func namespace(name string) string {
	space, _, ok := strings.Cut(name, ":")
	if !ok {
		return ""
	}
	return space
}
