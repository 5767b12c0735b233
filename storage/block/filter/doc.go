// Package filter has devices that stand before others and change what they do: slow
// them down, fail, log, show a part. They are for tests as well as for use. All of
// them have the powers of the device behind them, and what they say of it
// (block.Info) is what that device does.
package filter
