//go:build unix

package operatorkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

func dialAgent(ctx context.Context) (io.ReadWriteCloser, error) {
	path := os.Getenv("SSH_AUTH_SOCK")
	if path == "" {
		return nil, errors.New("no key signs: SSH_AUTH_SOCK names no ssh-agent; start one (eval $(ssh-agent) && " +
			"ssh-add), or name a key file: --key FILE")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("ssh-agent can't be reached (SSH_AUTH_SOCK): %w; start it anew, or name a key file: "+
			"--key FILE", err)
	}
	return conn, nil
}
