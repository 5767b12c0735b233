package iscsi

// A textExchange is a Text Request whose answer, or which itself, takes several PDUs
// (RFC 7143, 11.10).
type textExchange struct {
	itt  uint32
	ttt  uint32 // that the next request brings
	in   assembly
	rest []byte // of the answer
}

// textRequest answers a Text Request, the next part of the answer to one, or takes a
// part of one.
func (s *session) textRequest(h *header, data []byte) {
	x := &s.text
	more := h.flags()&flagContinue != 0
	if more && h.final() {
		s.reject(rejectProtocol, h)
		return
	}
	if h.ttt() == reservedTag {
		*x = textExchange{itt: h.itt(), ttt: reservedTag}
	} else if h.ttt() != x.ttt || h.itt() != x.itt {
		s.reject(rejectProtocol, h)
		return
	}
	if len(x.rest) > 0 {
		s.textAnswer(h, nil)
		return
	}
	pairs, err := x.in.add(data, more)
	if err != nil {
		*x = textExchange{ttt: reservedTag}
		s.reject(rejectProtocol, h)
		return
	}
	if more {
		s.textAnswer(h, nil)
		return
	}
	var answers []pair
	for _, p := range pairs {
		answers = append(answers, s.textKey(p)...)
	}
	s.textAnswer(h, appendText(nil, answers))
}

// textKey answers one key (RFC 7143, 13: those whose use is FFPO or ALL).
func (s *session) textKey(p pair) []pair {
	switch p.key {
	case "SendTargets":
		name := p.value
		if name == "" {
			name = s.target
		}
		// All is for discovery sessions (RFC 7143, appendix C).
		if list, ok := s.targets(name); ok && (s.discovery || name == s.target) {
			return list
		}
		return []pair{{p.key, valueReject}}
	case keyRules[keyMaxRecv].name:
		n, ok := keyRules[keyMaxRecv].parse(p.value)
		if !ok {
			return []pair{{p.key, valueReject}}
		}
		s.maxSend = int(n)
		return nil
	case "InitiatorAlias":
		return nil
	}
	if _, ok := findKey(p.key); ok || introduces(p.key) {
		return []pair{{p.key, valueReject}}
	}
	return []pair{{p.key, valueNotUnderstood}}
}

// textAnswer sends as much of the answer as fits one PDU.
func (s *session) textAnswer(h *header, answer []byte) {
	x := &s.text
	if answer != nil {
		x.rest = answer
	}
	part := x.rest[:min(len(x.rest), s.maxSend)]
	x.rest = x.rest[len(part):]
	resp := newHeader(opTextResp, 0, h.itt())
	resp.setLUN(h.lun())
	x.ttt = reservedTag
	switch {
	case len(x.rest) > 0:
		resp[1] = flagContinue
		x.ttt = s.newTTT()
	case h.final():
		resp[1] = flagFinal
	default:
		x.ttt = s.newTTT()
	}
	resp.setTTT(x.ttt)
	s.send(resp, part, nil)
}
