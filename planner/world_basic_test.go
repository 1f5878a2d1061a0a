package planner

import "testing"

func TestNewClusterConverges(t *testing.T) {
	w := newWorld(three())
	w.converge(t, three())
}
