// Package page is the page of a virtual drive: images, uploads and drives in a browser. It
// talks with package api by the calls that every client has, and is served beside them:
//
//	api.New(api.Config{Store: store, Drives: drives, Page: page.Handler()})
//
// The files are in the program (go:embed) as they are written: HTML, CSS and modules of
// JavaScript, without a build step, a library or anything from another site; the headers
// forbid these. main.js begins, and shows what goes where:
//
//	api.js      calls, and the texts of errors (errors.js)
//	live.js     the WebSocket of a drive: state and changes of it, connects again by itself
//	session.js  signing in and out
//	drives.js   drives: selection, switches, connect, disconnect; plot.js draws the traffic
//	images.js   the list of images and uploads
//	uploads.js  uploads of files: progress, pause, going on after whatever has happened
//	fetches.js  fetches by URL
//	space.js    the room that is left
//	dialog.js   questions and messages
//	dom.js      elements and lists; text is only ever text
//	format.js   sizes, rates and times for people
//
// An upload is begun by write with begin=1, which reserves the room and tells how much has
// come before; the bytes from there on follow in one request. When that ends early, by a
// pause, a broken connection or a restart of the server, the same is done again. A page that
// was loaded anew has no file any more: the one who chooses it again goes on, too.
package page
