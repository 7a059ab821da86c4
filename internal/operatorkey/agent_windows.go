package operatorkey

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// dialAgent opens the pipe of OpenSSH's service, which is read and written as a file.
func dialAgent(context.Context) (io.ReadWriteCloser, error) {
	path := `\\.\pipe\openssh-ssh-agent`
	if named := os.Getenv("SSH_AUTH_SOCK"); strings.HasPrefix(named, `\\.\pipe\`) {
		path = named
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("ssh-agent can't be reached: %w; start its service (Start-Service ssh-agent; "+
			"ssh-add), or name a key file: --key FILE", err)
	}
	return pipe, nil
}
