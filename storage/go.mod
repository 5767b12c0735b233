module github.com/seed-012105e5/gonet/storage

go 1.26.0

replace github.com/seed-012105e5/gonet => ../

require (
	github.com/klauspost/compress v1.20.4
	github.com/seed-012105e5/gonet v0.0.0-00010101000000-000000000000
	golang.org/x/sys v0.49.0
)

require (
	github.com/google/gopacket v1.1.19 // indirect
	golang.org/x/net v0.62.0 // indirect
)
