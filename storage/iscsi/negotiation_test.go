package iscsi

import (
	"strconv"
	"strings"
	"testing"
)

// targetValues are what the tests' target would have.
func testValues() (v values) {
	v = initialValues()
	v[keyInitialR2T] = 0
	v[keyMaxRecv] = 262144
	v[keyMaxOutstandingR2T] = 8
	return v
}

func testNegotiation() *negotiation {
	n := newNegotiation(testValues())
	n.choices[keyHeaderDigest] = []uint32{0, 1}
	n.choices[keyDataDigest] = []uint32{0, 1}
	n.choices[keyTaskReporting] = []uint32{0}
	return n
}

// Each key is answered by its rule (RFC 7143, 13).
func TestAnswers(t *testing.T) {
	for _, c := range []struct{ section, key, offer, answer string }{
		{"13.1", "HeaderDigest", "None", "None"},
		{"13.1", "HeaderDigest", "CRC32C,None", "CRC32C"},
		{"13.1", "HeaderDigest", "Y-com.example.sum,None,CRC32C", "None"},
		{"13.1", "DataDigest", "CRC32C", "CRC32C"},
		{"13.1", "DataDigest", "X#foo", "Reject"},
		{"13.1", "DataDigest", "crc32c", "Reject"},
		{"13.2", "MaxConnections", "8", "1"},
		{"13.2", "MaxConnections", "0", "Reject"},
		{"13.2", "MaxConnections", "65536", "Reject"},
		{"13.10", "InitialR2T", "Yes", "Yes"},
		{"13.10", "InitialR2T", "No", "No"},
		{"13.10", "InitialR2T", "Maybe", "Reject"},
		{"13.11", "ImmediateData", "Yes", "Yes"},
		{"13.11", "ImmediateData", "No", "No"},
		{"13.12", "MaxRecvDataSegmentLength", "65536", ""},
		{"13.12", "MaxRecvDataSegmentLength", "511", "Reject"},
		{"13.12", "MaxRecvDataSegmentLength", "16777216", "Reject"},
		{"13.13", "MaxBurstLength", "16776192", "262144"},
		{"13.13", "MaxBurstLength", "0x1000", "4096"},
		{"13.14", "FirstBurstLength", "262144", "65536"},
		{"13.14", "FirstBurstLength", "-1", "Reject"},
		{"13.15", "DefaultTime2Wait", "0", "2"},
		{"13.15", "DefaultTime2Wait", "3600", "3600"},
		{"13.15", "DefaultTime2Wait", "3601", "Reject"},
		{"13.16", "DefaultTime2Retain", "0", "0"},
		{"13.16", "DefaultTime2Retain", "60", "20"},
		{"13.17", "MaxOutstandingR2T", "4", "4"},
		{"13.17", "MaxOutstandingR2T", "65535", "8"},
		{"13.18", "DataPDUInOrder", "No", "Yes"},
		{"13.19", "DataSequenceInOrder", "No", "Yes"},
		{"13.20", "ErrorRecoveryLevel", "2", "0"},
		{"13.20", "ErrorRecoveryLevel", "3", "Reject"},
		{"13.23", "TaskReporting", "FastAbort,RFC3720", "RFC3720"},
		{"13.24", "iSCSIProtocolLevel", "2", "1"},
	} {
		n := testNegotiation()
		id, ok := findKey(c.key)
		if !ok {
			t.Fatalf("no key %s", c.key)
		}
		answer, err := n.take(id, c.offer)
		if err != nil || answer != c.answer {
			t.Errorf("%s: %s=%s is answered by %q %v, want %q", c.section, c.key, c.offer, answer, err, c.answer)
		}
		if _, err := n.take(id, c.offer); err == nil {
			t.Errorf("6.2: %s is negotiated twice", c.key)
		}
	}
}

// What is no value of a key is rejected, of every key, and changes nothing (RFC 7143,
// 6.1 and 6.2).
func TestNoValues(t *testing.T) {
	for id, r := range keyRules {
		bad := []string{"", "Reject", " ", "yes", "Yes,No", "1.5", "0x", "0xg", "99999999999999999999", "-1", "None,,CRC32C "}
		if !r.isBoolean() && r.combine != first {
			bad = append(bad, "Yes", "None", strconv.Itoa(int(r.high)+1))
			if r.low > 0 {
				bad = append(bad, strconv.Itoa(int(r.low)-1))
			}
		}
		for _, v := range bad {
			if r.combine == first && strings.Contains(v, "None") {
				continue // a list in which there is one
			}
			n := testNegotiation()
			if answer, err := n.take(keyID(id), v); err == nil && answer != valueReject {
				t.Errorf("%s=%q is answered by %q", r.name, v, answer)
			}
			if n.agreed[id] != testNegotiation().agreed[id] {
				t.Errorf("%s=%q changes what is agreed", r.name, v)
			}
		}
	}
}

// Keys that mean nothing in a discovery session are irrelevant there.
func TestIrrelevant(t *testing.T) {
	for id, r := range keyRules {
		n := testNegotiation()
		n.discovery = true
		v := r.format(r.initial)
		answer, err := n.take(keyID(id), v)
		if err != nil || (answer == valueIrrelevant) != r.normal {
			t.Errorf("%s=%s in a discovery session: %q %v", r.name, v, answer, err)
		}
	}
	n := testNegotiation()
	n.take(keyInitialR2T, valueYes)
	n.take(keyImmediateData, valueNo)
	if answer, _ := n.take(keyFirstBurst, "512"); answer != valueIrrelevant {
		t.Errorf("13.14: FirstBurstLength without unsolicited data: %q", answer)
	}
}

// FirstBurst is never more than MaxBurst, in whichever order they come.
func TestFirstBurstWithinMaxBurst(t *testing.T) {
	n := testNegotiation()
	n.take(keyFirstBurst, "65536")
	n.take(keyMaxBurst, "4096")
	if n.firstBurst() != 4096 {
		t.Error(n.firstBurst())
	}
}

// An initiator takes only answers that the rules allow.
func TestAnswersOfTargets(t *testing.T) {
	for _, c := range []struct {
		id     keyID
		answer string
		ok     bool
	}{
		{keyMaxBurst, "262144", true}, {keyMaxBurst, "512", true}, {keyMaxBurst, "262145", false},
		{keyMaxBurst, "511", false}, {keyMaxBurst, "Reject", false}, {keyMaxBurst, "Irrelevant", true},
		{keyMaxBurst, "NotUnderstood", true}, {keyTime2Wait, "1", false}, {keyTime2Wait, "3", true},
		{keyInitialR2T, "Yes", true}, {keyInitialR2T, "No", true}, {keyInitialR2T, "", false},
		{keyDataPDUInOrder, "No", false}, {keyHeaderDigest, "CRC32C", true}, {keyHeaderDigest, "MD5", false},
	} {
		n := testNegotiation()
		n.offer(c.id)
		if _, err := n.take(c.id, c.answer); (err == nil) != c.ok {
			t.Errorf("%s answered by %q: %v", keyRules[c.id].name, c.answer, err)
		}
	}
}
