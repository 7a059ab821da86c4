// Package chance seeds what tests leave to chance. Each test prints its seed,
// and SKERRY_SEED replaces it, to play again what has failed elsewhere or to
// draw anew. Without goroutines that run at the same time, the same seed does
// the same.
package chance
