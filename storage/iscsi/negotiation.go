package iscsi

import (
	"slices"
	"strconv"
	"strings"
)

// A keyID is one of the keys whose values both sides agree on, or one declares
// (RFC 7143, 13).
type keyID int

const (
	keyHeaderDigest keyID = iota
	keyDataDigest
	keyMaxConnections
	keyInitialR2T
	keyImmediateData
	keyMaxRecv
	keyMaxBurst
	keyFirstBurst
	keyTime2Wait
	keyTime2Retain
	keyMaxOutstandingR2T
	keyDataPDUInOrder
	keyDataSequenceInOrder
	keyErrorRecoveryLevel
	keyTaskReporting
	keyProtocolLevel
	operationalKeys
)

// A combination is how the values of both sides make one (RFC 7143, 6.2).
type combination byte

const (
	smaller combination = iota // numbers
	larger
	and // booleans
	or
	first   // lists: the first offered that the other side has too
	declare // each side says its own
)

// A keyRule is what is fixed of a key. Values are numbers, 0 and 1 for booleans, and
// indices of choices for lists.
type keyRule struct {
	name      string
	combine   combination
	low, high uint32
	initial   uint32 // what holds without negotiation
	choices   []string
	// normal says that the key is irrelevant in discovery sessions.
	normal bool
}

var digestChoices = []string{valueNone, "CRC32C"}

var keyRules = [operationalKeys]keyRule{
	keyHeaderDigest:        {name: "HeaderDigest", combine: first, choices: digestChoices},                                             // 13.1
	keyDataDigest:          {name: "DataDigest", combine: first, choices: digestChoices},                                               // 13.1
	keyMaxConnections:      {name: "MaxConnections", combine: smaller, low: 1, high: 65535, initial: 1, normal: true},                  // 13.2
	keyInitialR2T:          {name: "InitialR2T", combine: or, initial: 1, normal: true},                                                // 13.10
	keyImmediateData:       {name: "ImmediateData", combine: and, initial: 1, normal: true},                                            // 13.11
	keyMaxRecv:             {name: "MaxRecvDataSegmentLength", combine: declare, low: 512, high: maxDataSegment, initial: 8192},        // 13.12
	keyMaxBurst:            {name: "MaxBurstLength", combine: smaller, low: 512, high: maxDataSegment, initial: 262144, normal: true},  // 13.13
	keyFirstBurst:          {name: "FirstBurstLength", combine: smaller, low: 512, high: maxDataSegment, initial: 65536, normal: true}, // 13.14
	keyTime2Wait:           {name: "DefaultTime2Wait", combine: larger, high: 3600, initial: 2},                                        // 13.15
	keyTime2Retain:         {name: "DefaultTime2Retain", combine: smaller, high: 3600, initial: 20},                                    // 13.16
	keyMaxOutstandingR2T:   {name: "MaxOutstandingR2T", combine: smaller, low: 1, high: 65535, initial: 1, normal: true},               // 13.17
	keyDataPDUInOrder:      {name: "DataPDUInOrder", combine: or, initial: 1, normal: true},                                            // 13.18
	keyDataSequenceInOrder: {name: "DataSequenceInOrder", combine: or, initial: 1, normal: true},                                       // 13.19
	keyErrorRecoveryLevel:  {name: "ErrorRecoveryLevel", combine: smaller, high: 2},                                                    // 13.20
	keyTaskReporting:       {name: "TaskReporting", combine: first, choices: []string{"RFC3720", "ResponseFence", "FastAbort"}},        // 13.23
	keyProtocolLevel:       {name: "iSCSIProtocolLevel", combine: smaller, high: 31, initial: 1},                                       // 13.24
}

// isBoolean, and otherwise a number or a list.
func (r *keyRule) isBoolean() bool { return r.combine == and || r.combine == or }

// parse reads one value.
func (r *keyRule) parse(v string) (n uint32, ok bool) {
	switch {
	case r.isBoolean():
		return b2n(v == valueYes), v == valueYes || v == valueNo
	case r.combine == first:
		i := slices.Index(r.choices, v)
		return uint32(max(i, 0)), i >= 0
	}
	n, ok = parseNumber(v)
	return n, ok && n >= r.low && n <= r.high
}

func (r *keyRule) format(n uint32) string {
	switch {
	case r.isBoolean() && n != 0:
		return valueYes
	case r.isBoolean():
		return valueNo
	case r.combine == first:
		return r.choices[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

func b2n(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// settle makes one value of two numbers or booleans.
func (r *keyRule) settle(a, b uint32) uint32 {
	switch r.combine {
	case smaller, and:
		return min(a, b)
	case larger, or:
		return max(a, b)
	}
	return b
}

// values are one for each key.
type values [operationalKeys]uint32

func initialValues() (v values) {
	for i := range keyRules {
		v[i] = keyRules[i].initial
	}
	return v
}

// findKey is the operational key of a name.
func findKey(name string) (id keyID, ok bool) {
	for i := range keyRules {
		if keyRules[i].name == name {
			return keyID(i), true
		}
	}
	return 0, false
}

// A negotiation agrees on the operational keys of one connection (RFC 7143, 6.2).
// ours are the numbers and booleans that this side would have; choices the lists, in
// its order of preference. agreed is the result; what is declared is in ownRecv and
// peerRecv.
type negotiation struct {
	ours     values
	choices  [operationalKeys][]uint32
	agreed   values
	peerRecv uint32 // the peer's MaxRecvDataSegmentLength
	ownRecv  uint32 // that which was declared to the peer

	discovery bool
	answered  [operationalKeys]bool // offers of the peer
	offered   [operationalKeys]bool // offers of this side that wait for an answer
}

func newNegotiation(ours values) *negotiation {
	n := &negotiation{ours: ours, agreed: initialValues()}
	n.peerRecv, n.ownRecv = n.agreed[keyMaxRecv], n.agreed[keyMaxRecv]
	return n
}

// digests is what was agreed.
func (n *negotiation) digests() digests {
	return digests{n.agreed[keyHeaderDigest] == 1, n.agreed[keyDataDigest] == 1}
}

// firstBurst is the most unsolicited data of a command: never more than MaxBurst
// (RFC 7143, 13.14).
func (n *negotiation) firstBurst() uint32 {
	return min(n.agreed[keyFirstBurst], n.agreed[keyMaxBurst])
}

// offer is an offer or a declaration of this side.
func (n *negotiation) offer(id keyID) pair {
	r := &keyRules[id]
	if r.combine == declare {
		n.ownRecv = n.ours[id]
		return pair{r.name, r.format(n.ours[id])}
	}
	n.offered[id] = true
	if r.combine != first {
		return pair{r.name, r.format(n.ours[id])}
	}
	var list []string
	for _, c := range n.choices[id] {
		list = append(list, r.format(c))
	}
	return pair{r.name, strings.Join(list, ",")}
}

// take takes a key of the peer: the answer to an offer, a declaration, or an offer
// with the answer to it. A key that is offered twice is an error that ends the
// negotiation (RFC 7143, 6.2).
func (n *negotiation) take(id keyID, v string) (answer string, err error) {
	r := &keyRules[id]
	if n.offered[id] {
		n.offered[id] = false
		return "", n.takeAnswer(id, v)
	}
	if n.answered[id] {
		return "", formatErrorf("%s is negotiated twice", r.name)
	}
	n.answered[id] = true
	switch {
	case n.discovery && r.normal:
		return valueIrrelevant, nil
	case id == keyFirstBurst && n.noUnsolicited():
		return valueIrrelevant, nil
	case r.combine == first:
		return n.choose(id, v), nil
	}
	value, ok := r.parse(v)
	if !ok {
		return valueReject, nil
	}
	if r.combine == declare {
		n.peerRecv = value
		return "", nil
	}
	n.agreed[id] = r.settle(n.ours[id], value)
	return r.format(n.agreed[id]), nil
}

// noUnsolicited says that both sides have said that there is no unsolicited data
// (RFC 7143, 13.14).
func (n *negotiation) noUnsolicited() bool {
	return n.answered[keyInitialR2T] && n.answered[keyImmediateData] &&
		n.agreed[keyInitialR2T] == 1 && n.agreed[keyImmediateData] == 0
}

// choose takes the first value of a list that this side takes too.
func (n *negotiation) choose(id keyID, list string) (answer string) {
	for v := range strings.SplitSeq(list, ",") {
		if c, ok := keyRules[id].parse(v); ok && slices.Contains(n.choices[id], c) {
			n.agreed[id] = c
			return v
		}
	}
	return valueReject
}

// takeAnswer takes the answer to an offer of this side, which must be one that the
// rule of the key allows.
func (n *negotiation) takeAnswer(id keyID, v string) error {
	r := &keyRules[id]
	switch v {
	case valueIrrelevant, valueNotUnderstood:
		return nil
	case valueReject:
		return formatErrorf("the peer rejects %s", n.offer(id))
	}
	value, ok := r.parse(v)
	if ok && r.combine == first {
		ok = slices.Contains(n.choices[id], value)
	} else if ok {
		ok = r.settle(n.ours[id], value) == value
	}
	if !ok {
		return formatErrorf("%.80q is no answer to %s", v, n.offer(id))
	}
	n.agreed[id] = value
	return nil
}

func (p pair) String() string { return p.key + "=" + p.value }
