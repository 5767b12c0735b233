// Package versitygw names a program that tests of storage/block/s3 build and run: an
// S3 server that nobody here wrote. It is a module of its own, which go.work does not
// have, so that nothing else depends on what that program needs.
//
//	cd storage/internal/testing/versitygw && GOWORK=off go tool versitygw --help
package versitygw
