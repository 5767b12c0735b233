package iscsi

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const (
	testInitiator = "iqn.2026-01.org.example:initiator"
	testTarget    = "iqn.2026-01.org.example:t1"
	testSecret    = "secret of joe"
	testMutual    = "secret of the target"
)

// A testKeeper admits everybody to testTarget by its grants.
type testKeeper struct {
	grants   []Access
	redirect string
	began    int
	full     bool
}

func (k *testKeeper) admit(initiator, target string) (admission, error) {
	if target != testTarget && target != "" {
		return admission{}, failLogin(loginNotFound, "no %q", target)
	}
	return admission{grants: k.grants, portal: 1, alias: "disk", redirect: k.redirect}, nil
}

func (k *testKeeper) begin(l *loginTarget) (uint16, error) {
	if k.full {
		return 0, failLogin(loginOutOfResources, "full")
	}
	k.began++
	return 42, nil
}

// testRandom gives different bytes at each call.
func testRandom(seed byte) func([]byte) {
	return func(b []byte) {
		for i := range b {
			seed = seed*13 + 7
			b[i] = seed
		}
	}
}

func newTestLogin(k *testKeeper) *loginTarget {
	return &loginTarget{keeper: k, random: testRandom(1), negotiation: testNegotiation()}
}

func newTestInitiator() *loginInitiator {
	n := testNegotiation()
	return &loginInitiator{random: testRandom(99), name: testInitiator, target: testTarget, negotiation: n, isid: [6]byte{0x80, 1, 2, 3, 4, 5}}
}

// logIn runs both machines against each other.
func logIn(t *testing.T, i *loginInitiator, l *loginTarget) (initiatorErr, targetErr error) {
	t.Helper()
	for range maxLoginRounds + 2 {
		h, text := i.request()
		h.setDataLength(len(text))
		resp, out, err := l.answer(&h, text)
		done, ierr := i.response(&resp, out)
		if err != nil || ierr != nil {
			return ierr, err
		}
		if done != l.done {
			t.Fatalf("the initiator is done: %v, the target: %v", done, l.done)
		}
		if done {
			return nil, nil
		}
	}
	t.Fatal("the login does not end")
	return nil, nil
}

func TestLogin(t *testing.T) {
	open := []Access{{}}
	chap := []Access{{User: "joe", Secret: testSecret}}
	mutual := []Access{{User: "joe", Secret: testSecret, MutualUser: "target", MutualSecret: testMutual}}
	for _, c := range []struct {
		name   string
		grants []Access
		with   func(i *loginInitiator)
		status status // 0: both go through
		own    error  // what the initiator says by itself
	}{
		{name: "open", grants: open},
		{name: "discovery", grants: open, with: func(i *loginInitiator) { i.target = ""; i.discovery = true }},
		{name: "no such target", grants: open, with: func(i *loginInitiator) { i.target = "iqn.x" }, status: loginNotFound},
		{name: "CHAP", grants: chap, with: func(i *loginInitiator) { i.user, i.secret = "joe", testSecret }},
		{name: "a discovery with CHAP", grants: chap, with: func(i *loginInitiator) {
			i.target, i.discovery, i.user, i.secret = "", true, "joe", testSecret
		}},
		{name: "without CHAP", grants: chap, status: loginAuthentication},
		{name: "wrong secret", grants: chap, with: func(i *loginInitiator) { i.user, i.secret = "joe", "secret of jim" }, status: loginAuthentication},
		{name: "wrong user", grants: chap, with: func(i *loginInitiator) { i.user, i.secret = "jim", testSecret }, status: loginAuthentication},
		{name: "CHAP offered where none is needed", grants: open, with: func(i *loginInitiator) { i.user, i.secret = "joe", testSecret }},
		{name: "mutual", grants: mutual, with: func(i *loginInitiator) {
			i.user, i.secret, i.mutualUser, i.mutualSecret = "joe", testSecret, "target", testMutual
		}},
		{name: "mutual is not asked for", grants: mutual, with: func(i *loginInitiator) { i.user, i.secret = "joe", testSecret }},
		{name: "the target has no secret", grants: chap, with: func(i *loginInitiator) {
			i.user, i.secret, i.mutualUser, i.mutualSecret = "joe", testSecret, "target", testMutual
		}, status: loginAuthentication},
		{name: "the target has another secret", grants: mutual, with: func(i *loginInitiator) {
			i.user, i.secret, i.mutualUser, i.mutualSecret = "joe", testSecret, "target", "another secret"
		}, own: ErrTargetUnproven},
		{name: "the target has another name", grants: mutual, with: func(i *loginInitiator) {
			i.user, i.secret, i.mutualUser, i.mutualSecret = "joe", testSecret, "other", testMutual
		}, own: ErrTargetUnproven},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &testKeeper{grants: c.grants}
			i, l := newTestInitiator(), newTestLogin(k)
			if c.with != nil {
				c.with(i)
			}
			ierr, terr := logIn(t, i, l)
			switch {
			case c.own != nil:
				if !errors.Is(ierr, c.own) {
					t.Fatalf("initiator: %v, want %v", ierr, c.own)
				}
			case c.status != 0:
				var f *loginFailure
				var e *LoginError
				if !errors.As(terr, &f) || f.status != c.status || !errors.As(ierr, &e) || status(e.Class)<<8|status(e.Detail) != c.status {
					t.Fatalf("target: %v, initiator: %v, want %v", terr, ierr, c.status)
				}
				if k.began != 0 {
					t.Error("a session has begun")
				}
			case ierr != nil || terr != nil:
				t.Fatal(ierr, terr)
			default:
				if k.began != 1 || i.tsih != 42 || l.tsih != 42 {
					t.Errorf("began %d, TSIH %d and %d", k.began, i.tsih, l.tsih)
				}
				if i.agreed != l.agreed || i.peerRecv != l.ownRecv || l.peerRecv != i.ownRecv {
					t.Errorf("initiator %v %d %d, target %v %d %d", i.agreed, i.ownRecv, i.peerRecv, l.agreed, l.peerRecv, l.ownRecv)
				}
				if !i.discovery && i.portal != 1 {
					t.Errorf("portal group tag %d", i.portal)
				}
			}
		})
	}
}

// All algorithms of CHAP are spoken, and what is none of them is refused.
func TestCHAPAlgorithms(t *testing.T) {
	for _, a := range chapPreference {
		challenge := []byte("challenge")
		r := a.response(7, testSecret, challenge)
		if !a.verify(r, 7, testSecret, challenge) || a.verify(r, 8, testSecret, challenge) ||
			a.verify(r, 7, testSecret+"x", challenge) || a.verify(r, 7, testSecret, challenge[1:]) || a.verify(nil, 7, testSecret, challenge) {
			t.Errorf("algorithm %d", a)
		}
	}
	for list, want := range map[string]chapAlgorithm{"5": 5, "7,5": 7, "4,6,5": 6, "9,8": 8, "4": 0, "": 0, "x": 0} {
		if a, ok := chooseCHAP(list); a != want || ok != (want != 0) {
			t.Errorf("%q: %d %v", list, a, ok)
		}
	}
	// As Python's hashlib has them, of 07h, the secret and the challenge.
	for a, want := range map[chapAlgorithm]string{
		chapMD5:     "0xb1cce0fd57d7f3a646a25b9405612750",
		chapSHA1:    "0x8d92a060e2201fb0f6151326605503f34f99df8e",
		chapSHA256:  "0x3717bceedaebd122be995f49dbe96aa50a1c17845ec686553e3a955ef92ca957",
		chapSHA3256: "0xccdd64be3bc8604348bf4a701cbb10adf4327840f21b542dad0a00f120a4d209",
	} {
		if got := formatBinary(a.response(7, "abcdefghijkl", []byte("challenge"))); !strings.EqualFold(got, want) {
			t.Errorf("algorithm %d: %s, want %s", a, got, want)
		}
	}
}

// A say is one Login Request of a scripted initiator.
type say struct {
	flags byte
	text  string // keys, separated by spaces; ~ leaves off the last NUL
	with  func(h *header)
}

func (s say) header() header {
	h := newHeader(opLogin, s.flags, 5)
	h[0] |= 0x40
	h.setISID([6]byte{0x80, 1, 2, 3, 4, 5})
	h.setCmdSN(10)
	h.setExpStatSN(20)
	if s.with != nil {
		s.with(&h)
	}
	return h
}

func (s say) bytes() []byte {
	if s.text == "" {
		return nil
	}
	b := []byte(strings.ReplaceAll(s.text, " ", "\x00") + "\x00")
	return bytes.TrimSuffix(b, []byte("~\x00"))
}

const (
	names = "InitiatorName=" + testInitiator + " TargetName=" + testTarget + " SessionType=Normal"

	toOperational = flagTransit | 0<<2 | 1
	toFull        = flagTransit | 1<<2 | 3
	straightFull  = flagTransit | 0<<2 | 3
	inOperational = 1 << 2
)

// What initiators say and what the target answers, by section of RFC 7143.
func TestLoginScripts(t *testing.T) {
	joe := []Access{{User: "joe", Secret: testSecret}}
	for _, c := range []struct {
		name   string
		grants []Access
		script []say
		status status   // of the last response
		want   []string // keys of the last response
		not    string
		done   bool
		flags  byte // of the last response
	}{
		{name: "6.3: to the full feature phase from the security stage", script: []say{{straightFull, names + " AuthMethod=None", nil}},
			want: []string{"AuthMethod=None", "TargetPortalGroupTag=1", "TargetAlias=disk"}, done: true, flags: straightFull},
		{name: "6.3: without security stage", script: []say{{toFull, names + " HeaderDigest=CRC32C,None", nil}},
			want: []string{"HeaderDigest=CRC32C", "MaxRecvDataSegmentLength=262144", "TargetPortalGroupTag=1"}, done: true, flags: toFull},
		{name: "6.3: both stages", script: []say{{toOperational, names + " AuthMethod=None", nil}, {toFull, "ImmediateData=Yes", nil}},
			want: []string{"ImmediateData=Yes"}, not: "TargetPortalGroupTag", done: true, flags: toFull},
		{name: "6.3: several requests in a stage", script: []say{{inOperational, names, nil}, {inOperational, "InitialR2T=No", nil}},
			want: []string{"InitialR2T=No"}, flags: inOperational},
		{name: "6.2: continued text", script: []say{{inOperational | flagContinue, names, nil}},
			flags: inOperational},
		{name: "6.2: unknown keys", script: []say{{toFull, names + " X-com.example.speed=11 Foo=bar", nil}},
			want: []string{"X-com.example.speed=NotUnderstood", "Foo=NotUnderstood"}, done: true, flags: toFull},
		{name: "6.2: names again, as libiscsi says them", script: []say{{toOperational, names + " AuthMethod=None", nil}, {toFull, names, nil}}, done: true, flags: toFull},
		{name: "6.2: another name", script: []say{{toOperational, names + " AuthMethod=None", nil}, {toFull, "InitiatorName=iqn.other", nil}}, status: loginInitiatorError},
		{name: "13.25: obsolete keys", script: []say{{toFull, names + " IFMarker=Yes OFMarker=No IFMarkInt=1~2 OFMarkInt=3", nil}},
			want: []string{"IFMarker=No", "OFMarker=No", "IFMarkInt=Reject", "OFMarkInt=Reject"}, done: true, flags: toFull},
		{name: "6.3: nothing is too late", script: []say{{toOperational, names, nil}, {0, "", nil}}, status: loginInitiatorError},
		{name: "6.2: twice", script: []say{{inOperational, names + " ImmediateData=Yes", nil}, {toFull, "ImmediateData=No", nil}}, status: loginInitiatorError},
		{name: "6.2: twice in one PDU", script: []say{{toFull, names + " ImmediateData=Yes ImmediateData=Yes", nil}}, status: loginInitiatorError},
		{name: "6.2: twice, of unknown keys", script: []say{{toFull, names + " Foo=1 Foo=1", nil}}, status: loginInitiatorError},
		{name: "6.3.1: no InitiatorName", script: []say{{toFull, "TargetName=" + testTarget, nil}}, status: loginMissing},
		{name: "6.3.1: no TargetName", script: []say{{toFull, "InitiatorName=" + testInitiator, nil}}, status: loginMissing},
		{name: "6.3.1: a discovery session needs none", script: []say{{toFull, "SessionType=Discovery InitiatorName=" + testInitiator, nil}},
			not: "TargetPortalGroupTag", done: true, flags: toFull},
		{name: "4.2.7: no name", script: []say{{toFull, "TargetName=" + testTarget + " InitiatorName=joe", nil}}, status: loginInitiatorError},
		{name: "13.21: session type", script: []say{{toFull, names[:len(names)-6] + "Other", nil}}, status: loginSessionType},
		{name: "13.4: no such target", script: []say{{toFull, "InitiatorName=" + testInitiator + " TargetName=iqn.other", nil}}, status: loginNotFound},
		{name: "11.12.4: version", script: []say{{toFull, names, func(h *header) { h[3] = 1 }}}, status: loginVersion},
		{name: "11.12.2: T and C", script: []say{{toFull | flagContinue, names, nil}}, status: loginInitiatorError},
		{name: "11.12.3: to the stage that is", script: []say{{flagTransit | 1<<2 | 1, names, nil}}, status: loginInitiatorError},
		{name: "11.12.3: to stage 2", script: []say{{flagTransit | 2, names, nil}}, status: loginInitiatorError},
		{name: "11.12.3: back", script: []say{{flagTransit | 1<<2, names, nil}}, status: loginInitiatorError},
		{name: "11.12.3: in stage 3", script: []say{{flagTransit | 3<<2 | 3, names, nil}}, status: loginInitiatorError},
		{name: "6.3: another task tag", script: []say{{inOperational, names, nil}, {toFull, "", func(h *header) { h.setITT(6) }}}, status: loginInvalid},
		{name: "6.3: another ISID", script: []say{{inOperational, names, nil}, {toFull, "", func(h *header) { h[9]++ }}}, status: loginInvalid},
		{name: "6.3: another CID", script: []say{{inOperational, names, nil}, {toFull, "", func(h *header) { h.setCID(6) }}}, status: loginInvalid},
		{name: "6.3: a command before the end", script: []say{{inOperational, names, nil}, {toFull, "", func(h *header) { h[0] = byte(opCommand) }}}, status: loginInvalid},
		{name: "6.3.2: operational keys in the security stage", script: []say{{toOperational, names + " ImmediateData=Yes", nil}}, status: loginInitiatorError},
		{name: "6.3.2: AuthMethod in the operational stage", script: []say{{toFull, names + " AuthMethod=None", nil}}, status: loginInitiatorError},
		{name: "13.8: SendTargets in the login", script: []say{{toFull, names + " SendTargets=All", nil}}, status: loginInitiatorError},
		{name: "6.1: text without end", script: []say{{toFull, names + "~", nil}}, status: loginInitiatorError},

		{name: "12.1: CHAP is chosen", grants: joe, script: []say{{0, names + " AuthMethod=KRB5,CHAP,None", nil}}, want: []string{"AuthMethod=CHAP"}},
		{name: "12.1: no method", grants: joe, script: []say{{0, names + " AuthMethod=KRB5,None", nil}}, status: loginAuthentication},
		{name: "12.1: the stage is skipped", grants: joe, script: []say{{toFull, names, nil}}, status: loginAuthentication},
		{name: "12.1: nothing is said", grants: joe, script: []say{{toOperational, names, nil}}, status: loginAuthentication},
		{name: "12.1: out of the middle", grants: joe, script: []say{{0, names + " AuthMethod=CHAP", nil}, {toOperational, "", nil}}},
		{name: "12.1: straight from the middle", grants: joe, script: []say{{0, names + " AuthMethod=CHAP", nil}, {0, "CHAP_A=5", nil}, {straightFull, "", nil}}},
		{name: "12.1.3: algorithm", grants: joe, script: []say{{0, names + " AuthMethod=CHAP", nil}, {0, "CHAP_A=4,9,7,5", nil}}, want: []string{"CHAP_A=7", "CHAP_I=", "CHAP_C=0x"}},
		{name: "12.1.3: no algorithm", grants: joe, script: []say{{0, names + " AuthMethod=CHAP", nil}, {0, "CHAP_A=4", nil}}, status: loginAuthentication},
		{name: "12.1.3: proof too early", grants: joe, script: []say{{0, names + " AuthMethod=CHAP", nil}, {0, "CHAP_N=joe CHAP_R=0x00", nil}}, status: loginInitiatorError},
		{name: "12.1.3: wrong proof", grants: joe, script: []say{{0, names + " AuthMethod=CHAP", nil}, {0, "CHAP_A=5", nil}, {toOperational, "CHAP_N=joe CHAP_R=0x00", nil}}, status: loginAuthentication},
		{name: "12.1.3: proof that is none", grants: joe, script: []say{{0, names + " AuthMethod=CHAP", nil}, {0, "CHAP_A=5", nil}, {toOperational, "CHAP_N=joe CHAP_R=00", nil}}, status: loginInitiatorError},
		{name: "12.1: CHAP without AuthMethod", grants: joe, script: []say{{0, names + " CHAP_A=5", nil}}, status: loginInitiatorError},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &testKeeper{grants: c.grants}
			if k.grants == nil {
				k.grants = []Access{{}}
			}
			l := newTestLogin(k)
			var resp header
			var out []byte
			for i, s := range c.script {
				h := s.header()
				var err error
				resp, out, err = l.answer(&h, s.bytes())
				if last := i == len(c.script)-1; (err != nil) != (last && c.status != 0) {
					t.Fatalf("request %d: %v", i, err)
				}
				if resp.statSN() != 20+uint32(i) || resp.expCmdSN() != 10 {
					t.Errorf("response %d has StatSN %d and ExpCmdSN %d", i, resp.statSN(), resp.expCmdSN())
				}
			}
			if s := resp.loginStatus(); s != c.status {
				t.Errorf("status %v, want %v", s, c.status)
			}
			if l.done != c.done || c.status == 0 && resp.flags() != c.flags {
				t.Errorf("done %v, flags %#x, want %v %#x", l.done, resp.flags(), c.done, c.flags)
			}
			for _, w := range c.want {
				if !bytes.Contains(out, []byte(w)) {
					t.Errorf("%q has no %s", out, w)
				}
			}
			if c.not != "" && bytes.Contains(out, []byte(c.not)) {
				t.Errorf("%q has %s", out, c.not)
			}
		})
	}
}

// An initiator that sends the target's own challenge back, to have it answered, is
// refused (RFC 7143, 12.1.3).
func TestCHAPReflection(t *testing.T) {
	l := newTestLogin(&testKeeper{grants: []Access{{User: "joe", Secret: testSecret, MutualUser: "t", MutualSecret: testMutual}}})
	for _, s := range []say{{0, names + " AuthMethod=CHAP", nil}, {0, "CHAP_A=7", nil}} {
		h := s.header()
		if _, _, err := l.answer(&h, s.bytes()); err != nil {
			t.Fatal(err)
		}
	}
	asked := l.security.asked
	proof := formatBinary(chapSHA256.response(asked.id, testSecret, asked.challenge))
	s := say{toOperational, "CHAP_N=joe CHAP_R=" + proof + " CHAP_I=1 CHAP_C=" + formatBinary(asked.challenge), nil}
	h := s.header()
	resp, out, err := l.answer(&h, s.bytes())
	if resp.loginStatus() != loginAuthentication || bytes.Contains(out, []byte("CHAP_R")) {
		t.Errorf("%v, %q, %v", resp.loginStatus(), out, err)
	}
}

func TestRedirect(t *testing.T) {
	i, l := newTestInitiator(), newTestLogin(&testKeeper{redirect: "192.0.2.1:3260,1"})
	ierr, _ := logIn(t, i, l)
	var e *LoginError
	if !errors.As(ierr, &e) || e.Class != 1 || e.Detail != 1 || e.Address != "192.0.2.1:3260,1" {
		t.Errorf("%v", ierr)
	}
}

// What cannot begin says why.
func TestLoginWithoutResources(t *testing.T) {
	i, l := newTestInitiator(), newTestLogin(&testKeeper{grants: []Access{{}}, full: true})
	ierr, _ := logIn(t, i, l)
	var e *LoginError
	if !errors.As(ierr, &e) || e.Class != 3 || e.Detail != 2 || l.done {
		t.Errorf("%v", ierr)
	}
}

// FuzzLogin gives a target requests of any form: it answers or fails, never grants
// what CHAP guards.
func FuzzLogin(f *testing.F) {
	f.Add([]byte(names+" AuthMethod=CHAP"), byte(0), []byte("CHAP_A=5"), byte(0), []byte("CHAP_N=joe CHAP_R=0x00"), byte(toFull))
	f.Add([]byte(names), byte(toFull), []byte(""), byte(straightFull), []byte("SessionType=Discovery"), byte(0x40))
	f.Fuzz(func(t *testing.T, a []byte, fa byte, b []byte, fb byte, c []byte, fc byte) {
		k := &testKeeper{grants: []Access{{User: "joe", Secret: testSecret}}}
		l := newTestLogin(k)
		for _, s := range []say{{fa, string(a), nil}, {fb, string(b), nil}, {fc, string(c), nil}} {
			h := s.header()
			if _, out, err := l.answer(&h, s.bytes()); err != nil {
				break
			} else if len(out) > 8192 {
				t.Fatalf("a response of %d bytes", len(out))
			}
		}
		if k.began > 0 {
			t.Fatal("a session has begun without CHAP")
		}
	})
}
