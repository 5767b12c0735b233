// Package chromium has tests use pages in Chromium as people do: it drives the browser by
// the DevTools protocol, over the pair of pipes of --remote-debugging-pipe. It does what
// tests here need, and no more; it is there on Linux.
//
// https://chromedevtools.github.io/devtools-protocol/ describes the messages.
package chromium
