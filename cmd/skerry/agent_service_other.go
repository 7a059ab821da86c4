//go:build !windows

package main

import (
	"context"
	"errors"
)

// inService runs something: only Windows asks for more.
func inService(ctx context.Context, run func(context.Context) error) error { return run(ctx) }

func installService(string, string) error {
	return errors.New("this system has no services of Windows")
}
