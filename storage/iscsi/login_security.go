package iscsi

import (
	"slices"
	"strconv"
	"strings"
)

// securityKeys are those of an authentication, which may come again in another step
// of it.
var securityKeys = []string{"AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"}

// secure answers the keys of the security stage (RFC 7143, 6.3.2 and 12.1).
func (l *loginTarget) secure(pairs []pair) (out []pair, err error) {
	given := map[string]string{}
	for _, p := range pairs {
		if _, twice := given[p.key]; twice {
			return nil, failLogin(loginInitiatorError, "%s comes twice", p.key)
		}
		switch {
		case slices.Contains(securityKeys, p.key):
			given[p.key] = p.value
			continue
		case introduces(p.key):
			if err := l.again(p); err != nil {
				return nil, err
			}
			continue
		}
		if _, ok := findKey(p.key); ok || p.key == "SendTargets" {
			return nil, failLogin(loginInitiatorError, "%s in the security stage", p.key)
		}
		if err := l.once(p.key); err != nil {
			return nil, err
		}
		out = append(out, pair{p.key, valueNotUnderstood})
	}
	answers, err := l.authenticate(given)
	return append(out, answers...), err
}

// authenticate does one step of the authentication.
func (l *loginTarget) authenticate(given map[string]string) (out []pair, err error) {
	if len(given) == 0 {
		return nil, nil
	}
	s := &l.security
	switch s.state {
	case securityOpen:
		list, ok := given["AuthMethod"]
		if !ok || len(given) > 1 {
			return nil, failLogin(loginInitiatorError, "an authentication that does not begin with AuthMethod alone")
		}
		return l.chooseMethod(list)
	case securityCHAP:
		list, ok := given["CHAP_A"]
		if !ok || len(given) > 1 {
			return nil, failLogin(loginInitiatorError, "CHAP that does not begin with CHAP_A alone")
		}
		if s.algorithm, ok = chooseCHAP(list); !ok {
			return nil, failLogin(loginAuthentication, "CHAP_A=%.80s", list)
		}
		s.asked = newProof(l.random)
		s.state = securityProof
		return append([]pair{{"CHAP_A", strconv.Itoa(int(s.algorithm))}}, s.asked.pairs()...), nil
	case securityProof:
		return l.prove(given)
	}
	return nil, failLogin(loginInitiatorError, "authentication after its end")
}

// chooseMethod answers AuthMethod. Whoever must authenticate gets CHAP; others what
// they would have.
func (l *loginTarget) chooseMethod(list string) (out []pair, err error) {
	chap := slices.ContainsFunc(l.admission.grants, func(a Access) bool { return a.User != "" })
	open := slices.ContainsFunc(l.admission.grants, func(a Access) bool { return a.User == "" })
	for method := range strings.SplitSeq(list, ",") {
		switch {
		case method == "CHAP" && chap:
			l.security.state = securityCHAP
			return []pair{{"AuthMethod", method}}, nil
		case method == valueNone && open:
			return []pair{{"AuthMethod", method}}, l.open()
		}
	}
	return nil, failLogin(loginAuthentication, "AuthMethod=%.80s", list)
}

// prove checks the initiator's proof, and gives this side's if it is asked for.
func (l *loginTarget) prove(given map[string]string) (out []pair, err error) {
	s := &l.security
	name, named := given["CHAP_N"]
	response, ok := parseBinary(given["CHAP_R"])
	if !ok || !named || len(given) != 2 && len(given) != 4 {
		return nil, failLogin(loginInitiatorError, "CHAP without name and response")
	}
	granted := false
	for _, a := range l.admission.grants {
		if a.User != "" && a.User == name && s.algorithm.verify(response, s.asked.id, a.Secret, s.asked.challenge) {
			l.access, granted = a, true
			break
		}
	}
	if !granted {
		return nil, failLogin(loginAuthentication, "CHAP of %.80q", name)
	}
	if len(given) == 4 {
		back, ok := parseProof(given["CHAP_I"], given["CHAP_C"])
		switch {
		case !ok:
			return nil, failLogin(loginInitiatorError, "a challenge that is none")
		case back.equal(s.asked):
			return nil, failLogin(loginAuthentication, "the target's own challenge comes back")
		case l.access.MutualUser == "":
			return nil, failLogin(loginAuthentication, "the target has no name to prove")
		}
		out = []pair{
			{"CHAP_N", l.access.MutualUser},
			{"CHAP_R", formatBinary(s.algorithm.response(back.id, l.access.MutualSecret, back.challenge))},
		}
	}
	s.state = securityPassed
	return out, nil
}
