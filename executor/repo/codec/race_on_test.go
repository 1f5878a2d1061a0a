//go:build race

package codec

// raceDetector is whether the race detector is on: it makes pools drop some of their content.
const raceDetector = true
