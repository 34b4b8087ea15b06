//go:build race

package lab

// raceDetector: the program is built with the race detector, whose memory map a
// User-Mode Linux guest has no room for.
const raceDetector = true
