// Package fleet measures how a plan grows with the number of nodes: 2 and 50 of them,
// behind SSH servers in this process.
//
//	go test -run '^$' -bench . -benchtime 9x ./testdata/bench/fleet
//
// Each benchmark prints the medians for 2 and for 50 nodes, measured in turn, their
// ratio, and the processor time that 50 nodes took: "self" is this process, which is
// both ends of each connection, and "probes" the shells that the servers start.
//
// Shells probes with real shells: client, servers and all 50 shells share this
// machine's processors, so its ratio says more about the machine than about a plan.
// Hosts is like 50 hosts with processors of their own: each server gives the answer
// that a real probe gave, after the processor time that one takes here. Both ends of each
// handshake still run here. Logins is the handshakes alone, and Ours the client without
// any server: what a plan does with the answers.
package fleet
