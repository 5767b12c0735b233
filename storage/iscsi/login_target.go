package iscsi

import (
	"fmt"
	"strconv"
	"strings"
)

// A loginFailure ends a login with a status.
type loginFailure struct {
	status status
	reason string
}

func (e *loginFailure) Error() string {
	return fmt.Sprintf("iscsi: login: %v (%#04x): %s", e.status, uint16(e.status), e.reason)
}

func failLogin(s status, format string, a ...any) error {
	return &loginFailure{s, fmt.Sprintf(format, a...)}
}

// A gatekeeper says who may log in, and where sessions begin. Its methods do not
// block.
type gatekeeper interface {
	// admit is asked once, when the names are known. target is empty for a discovery
	// session.
	admit(initiator, target string) (admission, error)
	// begin is asked when the login is done, and names the session: the TSIH.
	begin(l *loginTarget) (tsih uint16, err error)
}

// An admission is what an initiator may do at a target.
type admission struct {
	grants   []Access // that fit the initiator's name and address
	alias    string
	portal   uint16 // group tag
	redirect string // address that the target has moved to
	forever  bool
}

// A loginTarget is the login phase of a connection as a target sees it: a machine of
// one Login Request in, one Login Response out (RFC 7143, 6.3).
type loginTarget struct {
	keeper gatekeeper
	random func([]byte)
	*negotiation

	// What the first request said, and no later one may change.
	begun     bool
	isid      [6]byte
	cid       uint16
	tsih      uint16 // 0 for a new session
	itt       uint32
	cmdSN     uint32
	statSN    uint32
	initiator string
	alias     string // of the initiator
	target    string
	discovery bool
	admission admission

	stage    stage
	text     assembly
	access   Access // that was granted
	security security
	declared bool // the portal group tag and MaxRecvDataSegmentLength have been told
	names    map[string]bool
	said     map[string]string // in the introduction
	done     bool
}

// A security is the exchange of the security stage (RFC 7143, 12.1).
type security struct {
	state     securityState
	algorithm chapAlgorithm
	asked     chapProof
}

type securityState byte

const (
	securityOpen   securityState = iota // no method yet
	securityCHAP                        // wants CHAP_A
	securityProof                       // wants CHAP_N and CHAP_R
	securityPassed                      // may go on
)

// answer takes a Login Request with its text. An error ends the connection once the
// response, which has its status then, has been sent.
func (l *loginTarget) answer(h *header, text []byte) (resp header, out []byte, err error) {
	pairs, step, err := l.step(h, text)
	resp = l.header(h)
	if err != nil {
		f, ok := err.(*loginFailure)
		if !ok {
			f = &loginFailure{loginInitiatorError, err.Error()}
		}
		resp[1] = h[1] & (3 << 2) // the stage; no T, C or NSG
		resp.setLoginStatus(f.status)
		if f.status == loginMovedTemporary || f.status == loginMovedPermanent {
			out = appendText(nil, []pair{{"TargetAddress", l.admission.redirect}})
		}
		return resp, out, f
	}
	if step {
		resp[1] |= flagTransit | byte(h.nsg())
	}
	return resp, appendText(nil, pairs), nil
}

// header begins a response.
func (l *loginTarget) header(h *header) header {
	resp := newHeader(opLoginResp, h[1]&(3<<2), h.itt())
	resp.setISID(h.isid())
	resp.setTSIH(l.tsih)
	if !l.begun {
		l.statSN = h.expStatSN()
	}
	resp.setStatSN(l.statSN)
	l.statSN++
	resp.setExpCmdSN(h.cmdSN())
	resp.setMaxCmdSN(h.cmdSN())
	return resp
}

// step does the work of answer; step says that the stage is over.
func (l *loginTarget) step(h *header, text []byte) (out []pair, step bool, err error) {
	if err := l.check(h); err != nil {
		return nil, false, err
	}
	more := h.flags()&flagContinue != 0
	pairs, err := l.text.add(text, more)
	if err != nil || more {
		return nil, false, err
	}
	if l.initiator == "" {
		if err := l.introduce(pairs); err != nil {
			return nil, false, err
		}
	}
	if l.stage == stageSecurity {
		out, err = l.secure(pairs)
	} else {
		out, err = l.negotiate(pairs)
	}
	if err != nil {
		return nil, false, err
	}
	if !l.declared {
		l.declared = true
		out = append(out, l.declarations()...)
	}
	if h.flags()&flagTransit == 0 {
		return out, false, nil
	}
	step, err = l.transit(h.nsg())
	return out, step, err
}

// check looks at the header (RFC 7143, 11.12).
func (l *loginTarget) check(h *header) error {
	flags, csg, nsg := h.flags(), h.csg(), h.nsg()
	switch {
	case h.opcode() != opLogin:
		return failLogin(loginInvalid, "%v before the end of the login", h.opcode())
	case h.versionMin() > 0:
		return failLogin(loginVersion, "version %d at least", h.versionMin())
	case flags&(flagTransit|flagContinue) == flagTransit|flagContinue:
		return failLogin(loginInitiatorError, "T and C together")
	case csg > stageOperational:
		return failLogin(loginInitiatorError, "stage %d", csg)
	case flags&flagTransit != 0 && (nsg <= csg || nsg == 2):
		return failLogin(loginInitiatorError, "stage %d after %d", nsg, csg)
	case !l.begun:
		l.begun = true
		l.isid, l.cid, l.tsih, l.itt, l.cmdSN = h.isid(), h.cid(), h.tsih(), h.itt(), h.cmdSN()
		l.statSN = h.expStatSN()
		l.stage = csg
		l.names, l.said = map[string]bool{}, map[string]string{}
		return nil
	case csg != l.stage:
		return failLogin(loginInitiatorError, "stage %d in stage %d", csg, l.stage)
	case h.isid() != l.isid || h.cid() != l.cid || h.tsih() != l.tsih || h.itt() != l.itt:
		return failLogin(loginInvalid, "another ISID, CID, TSIH or task tag than before")
	}
	return nil
}

// introduce takes the names from the first text (RFC 7143, 6.3.1).
func (l *loginTarget) introduce(pairs []pair) error {
	discovery := false
	for _, p := range pairs {
		switch p.key {
		case "InitiatorName":
			l.initiator = strings.ToLower(p.value)
		case "InitiatorAlias":
			l.alias = p.value
		case "TargetName":
			l.target = strings.ToLower(p.value)
		case "SessionType":
			discovery = p.value == "Discovery"
			if !discovery && p.value != "Normal" {
				return failLogin(loginSessionType, "session type %.80q", p.value)
			}
		}
	}
	switch {
	case l.initiator == "":
		return failLogin(loginMissing, "no InitiatorName")
	case !validName(l.initiator):
		return failLogin(loginInitiatorError, "the name %.250q", l.initiator)
	case l.target == "" && !discovery:
		return failLogin(loginMissing, "no TargetName")
	}
	l.discovery, l.negotiation.discovery = discovery, discovery
	target := l.target
	if discovery {
		target = ""
	}
	var err error
	if l.admission, err = l.keeper.admit(l.initiator, target); err != nil {
		return err
	}
	if l.admission.redirect != "" {
		s := loginMovedTemporary
		if l.admission.forever {
			s = loginMovedPermanent
		}
		return failLogin(s, "to %s", l.admission.redirect)
	}
	return nil
}

// validName says whether a name has one of the forms of RFC 7143, 4.2.7.
func validName(name string) bool {
	if len(name) > 223 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c == 127 || c == '/' || c == '%' || c == '*' || c == '?' {
			return false
		}
	}
	for _, form := range []string{"iqn.", "eui.", "naa."} {
		if strings.HasPrefix(name, form) && len(name) > len(form) {
			return true
		}
	}
	return false
}

// declarations are what a target tells without being asked.
func (l *loginTarget) declarations() (out []pair) {
	if l.discovery {
		return nil
	}
	out = append(out, pair{"TargetPortalGroupTag", strconv.Itoa(int(l.admission.portal))})
	if l.admission.alias != "" {
		out = append(out, pair{"TargetAlias", l.admission.alias})
	}
	return out
}

// once refuses a key that comes again (RFC 7143, 6.2).
func (l *loginTarget) once(key string) error {
	if l.names[key] {
		return failLogin(loginInitiatorError, "%s comes twice", key)
	}
	l.names[key] = true
	return nil
}

// again refuses a name that is another than before. Initiators that tell theirs in each
// request are common.
func (l *loginTarget) again(p pair) error {
	if old, ok := l.said[p.key]; ok && old != p.value {
		return failLogin(loginInitiatorError, "%s is %.250q, and was %.250q", p.key, p.value, old)
	}
	l.said[p.key] = p.value
	return nil
}

// introduces says whether a key belongs to the introduction.
func introduces(key string) bool {
	return key == "InitiatorName" || key == "InitiatorAlias" || key == "TargetName" || key == "SessionType"
}

// negotiate answers the keys of the operational stage (RFC 7143, 6.3.3).
func (l *loginTarget) negotiate(pairs []pair) (out []pair, err error) {
	if l.security.state != securityPassed {
		if err := l.open(); err != nil {
			return nil, err
		}
	}
	for _, p := range pairs {
		if introduces(p.key) {
			if err := l.again(p); err != nil {
				return nil, err
			}
			continue
		}
		answer, err := l.operational(p)
		if err != nil {
			return nil, err
		}
		if answer != "" {
			out = append(out, pair{p.key, answer})
		}
	}
	if l.ownRecv != l.ours[keyMaxRecv] {
		out = append(out, l.offer(keyMaxRecv))
	}
	return out, nil
}

// operational answers one key.
func (l *loginTarget) operational(p pair) (answer string, err error) {
	if id, ok := findKey(p.key); ok {
		return l.take(id, p.value)
	}
	if err := l.once(p.key); err != nil {
		return "", err
	}
	switch p.key {
	case "IFMarker", "OFMarker": // 13.25: never NotUnderstood
		return valueNo, nil
	case "IFMarkInt", "OFMarkInt":
		return valueReject, nil
	case "AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R":
		return "", failLogin(loginInitiatorError, "%s after the security stage", p.key)
	case "SendTargets", "TargetAddress", "TargetAlias", "TargetPortalGroupTag":
		return "", failLogin(loginInitiatorError, "%s in a login of an initiator", p.key)
	}
	return valueNotUnderstood, nil
}

// open grants what needs no proof.
func (l *loginTarget) open() error {
	for _, a := range l.admission.grants {
		if a.User == "" {
			l.access = a
			l.security.state = securityPassed
			return nil
		}
	}
	return failLogin(loginAuthentication, "the target wants CHAP")
}

// transit goes to the next stage, if this one may end.
func (l *loginTarget) transit(to stage) (step bool, err error) {
	if l.stage == stageSecurity && l.security.state != securityPassed {
		if l.security.state != securityOpen {
			return false, nil // the exchange is under way
		}
		if err := l.open(); err != nil {
			return false, err
		}
	}
	if to == stageFull {
		tsih, err := l.keeper.begin(l)
		if err != nil {
			return false, err
		}
		l.tsih, l.done = tsih, true
	}
	l.stage = to
	return true, nil
}
