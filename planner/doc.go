// Package planner compares what the files declare with what was observed and
// gives the ordered steps that lead from the one to the other. New is a pure
// function: no network, no processes, no clock. What it is given decides what it
// gives, to the letter.
//
// Facts come in three kinds. A fact is known, or known to be absent, or nobody
// could look (a node has Unreachable set, a server has Error set, a target is
// StateUnknown). What could not be seen is never taken for absent: no step
// initialises, promotes, wipes or drops while a node that could contradict it
// has not been observed. Such a step stands in the plan with Blocked set, so
// that a person sees what was meant and why it does not happen.
//
// A step is data: what it does, why, what it needs to be true before, what will
// be true after, and on which steps it waits. The executor checks the conditions
// again on facts that it observes at that moment, so a plan that has gone stale
// stops instead of doing harm, and a second run repeats nothing.
package planner
