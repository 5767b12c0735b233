module github.com/seed-012105e5/gonet/storage/bench/gonbd

go 1.26.0

require github.com/pojntfx/go-nbd v0.3.2
