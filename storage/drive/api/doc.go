// Package api is the HTTP API of image stores and drives: the calls of PiKVM's mass storage
// drive, with their paths, parameters, envelopes and error names, so that a client of
// PiKVM's works unchanged, and some more. All calls are in one table (calls.go), from which
// requests are checked and routed, and the OpenAPI document is made.
//
// Answers are {"ok": true, "result": ...} or {"ok": false, "result": {"error": name,
// "error_msg": text}}. The WebSocket at /ws sends the event "msd" with the whole state
// first, then what has changed of it; msd_traffic is what machines read and write, and
// msd_jobs what goes on in the background.
//
// Extensions: several drives, chosen by the parameter drive; uploads that go on at an
// offset, are begun before their bytes come, are compressed, or have a checksum; downloads
// of ranges; tokens and roles.
package api
