// Package acceptance runs pg_manage as an operator does, against the real hosts of a lab.
//
// It needs root and some minutes, so `go test ./...` leaves it out; testdata/test.sh runs it:
//
//	go test -race -timeout 40m ./testdata/acceptance/...
package acceptance
