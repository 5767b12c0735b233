// Package iscsi serves and uses SCSI logical units over any net.Conn: iSCSI as of RFC
// 7143, both ends.
//
// Pure machines make the protocol: the codec of PDUs (wire_*.go), text (wire_text.go),
// the negotiation of keys (negotiation.go), CHAP (chap.go) and the login phase of
// both sides (login_*.go).
//
// Limits: MaxConnections is 1 and ErrorRecoveryLevel 0, so that a digest that is wrong
// ends the session, whose initiator then logs in again.
package iscsi
