package iscsi

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/internal/service"
)

// serverCounters are what a Server counts.
type serverCounters struct {
	connections, refused, evicted                atomic.Uint64
	logins, loginFailures, loginTimeouts         atomic.Uint64
	authentications, discoveries, reinstatements atomic.Uint64
	sessions, logouts, losses, timeouts          atomic.Uint64
	protocolErrors, headerDigests, dataDigests   atomic.Uint64
	commands, failed, aborted, functions         atomic.Uint64
	rejects, asyncs, r2ts                        atomic.Uint64
	outsideWindow, strayData, brokenSequences    atomic.Uint64
	bytesRead, bytesWritten                      atomic.Uint64
	waits                                        atomic.Uint64
}

// Stats is the counters of a server at one moment, by name.
type Stats map[string]uint64

// String is the counters that are not zero, one a line, sorted.
func (s Stats) String() string { return service.Lines(s) }

func (c *serverCounters) read() Stats {
	return Stats{
		"Connections":            c.connections.Load(),
		"ConnectionsRefused":     c.refused.Load(), // more than MaxConns
		"LoginsEvicted":          c.evicted.Load(), // the oldest of more than MaxLogins
		"Logins":                 c.logins.Load(),
		"LoginFailures":          c.loginFailures.Load(),
		"LoginTimeouts":          c.loginTimeouts.Load(),
		"AuthenticationFailures": c.authentications.Load(),
		"Discoveries":            c.discoveries.Load(),
		"Reinstatements":         c.reinstatements.Load(), // sessions that a login of the same ports has ended
		"SessionsOpen":           c.sessions.Load(),
		"SessionsEndedByLogout":  c.logouts.Load(),
		"SessionsEndedByLoss":    c.losses.Load(),
		"SessionsTimedOut":       c.timeouts.Load(), // initiators that do not answer
		"ProtocolErrors":         c.protocolErrors.Load(),
		"HeaderDigestErrors":     c.headerDigests.Load(),
		"DataDigestErrors":       c.dataDigests.Load(),
		"Commands":               c.commands.Load(),
		"CommandsFailed":         c.failed.Load(), // with a status other than GOOD
		"CommandsAborted":        c.aborted.Load(),
		"TaskManagement":         c.functions.Load(),
		"Rejects":                c.rejects.Load(),
		"AsyncMessages":          c.asyncs.Load(),
		"R2Ts":                   c.r2ts.Load(),
		"OutsideWindow":          c.outsideWindow.Load(), // requests that were ignored for their CmdSN
		"StrayData":              c.strayData.Load(),     // of no task
		"BrokenSequences":        c.brokenSequences.Load(),
		"BytesRead":              c.bytesRead.Load(),
		"BytesWritten":           c.bytesWritten.Load(),
		"WaitsForMemory":         c.waits.Load(),
	}
}
