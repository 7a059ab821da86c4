//go:build !linux

package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
)

const nonBlocking = 0

func supported() error {
	return errors.New("builds run on Linux; artifacts for other systems are built there, too")
}

type account struct{}

func accountOf(string) (*account, error) { return nil, supported() }

func (*account) own(string) error             { return supported() }
func (*account) ownIn(*os.Root, string) error { return supported() }
func (*account) reaches(string) error         { return supported() }
func (*account) owns(fs.FileInfo) bool        { return false }
func (*account) run(*exec.Cmd)                {}

func (r *run) execute(context.Context, string, []string) error { return supported() }

func sweep(string) error { return nil }
