//go:build !linux && !darwin && !windows

package artifact

import "math"

// free has no limit here: the disk itself says when it is full.
func free(string) (int64, error) { return math.MaxInt64, nil }
