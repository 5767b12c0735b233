module github.com/seed-012105e5/gonet/storage

go 1.26.0

replace github.com/seed-012105e5/gonet => ../

require golang.org/x/sys v0.49.0
