package iscsi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A LoginError is a target's refusal of a login (RFC 7143, 11.13.5).
type LoginError struct {
	Class, Detail byte
	// Address is where the target has moved to, for class 1.
	Address string
}

func (e *LoginError) Error() string {
	text := "iscsi: the target refuses the login: " + (status(e.Class)<<8 | status(e.Detail)).String()
	if e.Address != "" {
		text += " to " + e.Address
	}
	return text
}

// maxLoginRounds bounds what a target may ask for.
const maxLoginRounds = 64

// A loginInitiator is the login phase as an initiator sees it: request says what to
// send, response takes what came, until it says that the login is done (RFC 7143,
// 6.3).
type loginInitiator struct {
	random                   func([]byte)
	name, alias, target      string // no target: a discovery session
	user, secret             string
	mutualUser, mutualSecret string
	*negotiation

	isid  [6]byte
	tsih  uint16
	itt   uint32
	cmdSN uint32

	expStatSN uint32
	stage     stage
	phase     loginPhase
	text      assembly
	more      bool   // the target has not said all yet
	answers   []pair // to offers of the target
	algorithm chapAlgorithm
	theirs    chapProof
	asked     chapProof // of this side, for mutual CHAP
	rounds    int
	proposed  bool // the parameters

	portal uint16 // group tag that the target told
}

type loginPhase byte

const (
	phaseMethod loginPhase = iota
	phaseAlgorithm
	phaseProof
	phaseParameters
)

// request is the next Login Request.
func (l *loginInitiator) request() (h header, text []byte) {
	pairs, transit := l.say()
	flags := byte(l.stage) << 2
	if transit {
		next := stageOperational
		if l.stage == stageOperational {
			next = stageFull
		}
		flags |= flagTransit | byte(next)
	}
	h = newHeader(opLogin, flags, l.itt)
	h[0] |= 0x40
	h.setISID(l.isid)
	h.setTSIH(l.tsih)
	h.setCmdSN(l.cmdSN)
	h.setExpStatSN(l.expStatSN)
	return h, appendText(nil, pairs)
}

// say is the keys of the next request, and whether the stage may end with it.
func (l *loginInitiator) say() (out []pair, transit bool) {
	if l.more {
		return nil, false
	}
	out, l.answers = l.answers, nil
	switch l.phase {
	case phaseMethod:
		out = append(out, pair{"InitiatorName", l.name})
		if l.alias != "" {
			out = append(out, pair{"InitiatorAlias", l.alias})
		}
		if l.target == "" {
			out = append(out, pair{"SessionType", "Discovery"})
		} else {
			out = append(out, pair{"SessionType", "Normal"}, pair{"TargetName", l.target})
		}
		if l.user == "" {
			return append(out, pair{"AuthMethod", valueNone}), true
		}
		return append(out, pair{"AuthMethod", l.methods()}), false
	case phaseAlgorithm:
		var list []string
		for _, a := range chapPreference {
			list = append(list, strconv.Itoa(int(a)))
		}
		return append(out, pair{"CHAP_A", strings.Join(list, ",")}), false
	case phaseProof:
		response := l.algorithm.response(l.theirs.id, l.secret, l.theirs.challenge)
		out = append(out, pair{"CHAP_N", l.user}, pair{"CHAP_R", formatBinary(response)})
		if l.mutualUser != "" {
			l.asked = newProof(l.random)
			out = append(out, l.asked.pairs()...)
		}
		return out, true
	}
	if l.stage == stageSecurity {
		return out, true
	}
	return append(out, l.parameters()...), true
}

// methods are those that prove enough: a target that must prove itself may not
// choose None.
func (l *loginInitiator) methods() string {
	if l.mutualUser != "" {
		return "CHAP"
	}
	return "CHAP," + valueNone
}

// parameters are the offers of the operational stage, once.
func (l *loginInitiator) parameters() (out []pair) {
	if l.proposed {
		return nil
	}
	l.proposed = true
	for id := range operationalKeys {
		switch {
		case l.answered[id] && id != keyMaxRecv, id == keyTaskReporting, id == keyProtocolLevel,
			l.discovery && keyRules[id].normal:
			continue
		}
		out = append(out, l.offer(id))
	}
	return out
}

// response takes a Login Response. done says that the full feature phase has begun.
func (l *loginInitiator) response(h *header, text []byte) (done bool, err error) {
	if l.rounds++; l.rounds > maxLoginRounds {
		return false, formatErrorf("a login of more than %d rounds", maxLoginRounds)
	}
	if h.opcode() != opLoginResp || h.itt() != l.itt {
		return false, formatErrorf("%v where a Login Response was to come", h.opcode())
	}
	l.expStatSN = h.statSN() + 1
	l.more = h.flags()&flagContinue != 0
	if s := h.loginStatus(); s != loginSuccess {
		return false, l.refused(s, text)
	}
	if h.csg() != l.stage {
		return false, formatErrorf("the target is in stage %d in stage %d", h.csg(), l.stage)
	}
	pairs, err := l.text.add(text, l.more)
	if err != nil || l.more {
		return false, err
	}
	if l.stage == stageSecurity {
		err = l.secure(pairs)
	} else {
		err = l.negotiate(pairs)
	}
	if err != nil || h.flags()&flagTransit == 0 {
		return false, err
	}
	return l.transit(h)
}

// transit follows the target to the next stage.
func (l *loginInitiator) transit(h *header) (done bool, err error) {
	if l.stage == stageSecurity && l.phase < phaseParameters {
		return false, formatErrorf("the target ends the security stage before its end")
	}
	switch next := h.nsg(); {
	case next == stageOperational && l.stage == stageSecurity:
		l.stage = next
		return false, nil
	case next == stageFull && l.stage == stageOperational:
		l.tsih = h.tsih()
		return true, nil
	default:
		return false, formatErrorf("the target goes to stage %d after %d", next, l.stage)
	}
}

// refused is the error of a status.
func (l *loginInitiator) refused(s status, text []byte) error {
	e := &LoginError{Class: byte(s >> 8), Detail: byte(s)}
	if pairs, err := parseText(text); err == nil && e.Class == 1 {
		for _, p := range pairs {
			if p.key == "TargetAddress" {
				e.Address = p.value
			}
		}
	}
	return e
}

// secure takes the target's part of the authentication.
func (l *loginInitiator) secure(pairs []pair) error {
	given := map[string]string{}
	for _, p := range pairs {
		if _, twice := given[p.key]; twice {
			return formatErrorf("%s comes twice", p.key)
		}
		given[p.key] = p.value
		if !slices.Contains(securityKeys, p.key) {
			if err := l.note(p); err != nil {
				return err
			}
		}
	}
	switch l.phase {
	case phaseMethod:
		switch method := given["AuthMethod"]; {
		case method == "CHAP" && l.user != "":
			l.phase = phaseAlgorithm
		case method == valueNone && l.mutualUser == "":
			l.phase = phaseParameters
		case method == "" && l.user == "":
			l.phase = phaseParameters // a target that has no security stage to speak of
		default:
			return formatErrorf("the target chooses AuthMethod=%.80q", method)
		}
	case phaseAlgorithm:
		var ok bool
		if l.algorithm, ok = chooseCHAP(given["CHAP_A"]); !ok {
			return formatErrorf("the target chooses CHAP_A=%.80q", given["CHAP_A"])
		}
		if l.theirs, ok = parseProof(given["CHAP_I"], given["CHAP_C"]); !ok {
			return formatErrorf("the target's CHAP challenge is none")
		}
		l.phase = phaseProof
	case phaseProof:
		if err := l.verify(given); err != nil {
			return err
		}
		l.phase = phaseParameters
	}
	return nil
}

// verify checks the target's proof, where one was asked for.
func (l *loginInitiator) verify(given map[string]string) error {
	if l.mutualUser == "" {
		return nil
	}
	response, ok := parseBinary(given["CHAP_R"])
	if !ok || given["CHAP_N"] != l.mutualUser ||
		!l.algorithm.verify(response, l.asked.id, l.mutualSecret, l.asked.challenge) {
		return fmt.Errorf("%w: it is not %q, or has another secret", ErrTargetUnproven, l.mutualUser)
	}
	return nil
}

// note takes what a target declares.
func (l *loginInitiator) note(p pair) error {
	if p.key == "TargetPortalGroupTag" {
		n, ok := parseNumber(p.value)
		if !ok || n > 65535 {
			return formatErrorf("a portal group tag %.80q", p.value)
		}
		l.portal = uint16(n)
	}
	return nil
}

// negotiate takes answers and offers of the operational stage.
func (l *loginInitiator) negotiate(pairs []pair) error {
	for _, p := range pairs {
		id, ok := findKey(p.key)
		if !ok {
			if err := l.note(p); err != nil {
				return err
			}
			continue
		}
		answer, err := l.take(id, p.value)
		if err != nil {
			return err
		}
		if answer != "" {
			l.answers = append(l.answers, pair{p.key, answer})
		}
	}
	return nil
}
