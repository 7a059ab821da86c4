//go:build !linux

package heap

func groupLimit() int { return 0 }
