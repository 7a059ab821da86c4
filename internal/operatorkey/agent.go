package operatorkey

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/skerry/skerry/internal/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// found is a suitable key of the agent.
type found struct {
	name  string
	key   sshsig.PublicKey
	agent *agent.Key
}

// fromAgent picks the agent's key that the file of operators names. If only is given, it accepts no
// other key.
func (o Options) fromAgent(ctx context.Context, only *sshsig.PublicKey) (*Signer, error) {
	if only != nil {
		if _, ok := o.find(*only); !ok {
			return nil, o.stranger("the key in "+o.File, *only)
		}
	}
	conn, err := dialAgent(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	closeAll := func() error {
		if !stop() {
			return nil // the end of the context has closed it
		}
		return conn.Close()
	}
	client := agent.NewClient(conn)
	k, err := o.choose(client, only)
	if err != nil {
		closeAll()
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return &Signer{
		name: k.name,
		key:  k.key,
		sign: func(data []byte) ([]byte, error) {
			signature, err := client.Sign(k.agent, data)
			if err != nil {
				return nil, fmt.Errorf("ssh-agent does not sign with %s; is it locked, or was the key taken out? "+
					"(ssh-add -l): %w", k.key.Fingerprint(), err)
			}
			if signature.Format != ssh.KeyAlgoED25519 {
				return nil, fmt.Errorf("ssh-agent answers with a signature of type %q", signature.Format)
			}
			return signature.Blob, nil
		},
		close: closeAll,
	}, nil
}

func (o Options) choose(client agent.Agent, only *sshsig.PublicKey) (found, error) {
	keys, err := client.List()
	if err != nil {
		return found{}, fmt.Errorf("ssh-agent does not list its keys: %w", err)
	}
	var fit []found
	var seen []string
	for _, k := range keys {
		key, _, err := sshsig.ParsePublicKey(k.String())
		if err != nil {
			seen = append(seen, fmt.Sprintf("%s %q", k.Type(), k.Comment))
			continue
		}
		seen = append(seen, fmt.Sprintf("%s %q", key.Fingerprint(), k.Comment))
		if op, ok := o.find(key); ok && (only == nil || *only == key) {
			fit = append(fit, found{op.Name, key, k})
		}
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return found{}, o.noneFits(seen)
	}
	var names []string
	for _, f := range fit {
		names = append(names, f.name)
	}
	return found{}, fmt.Errorf("ssh-agent has the keys of several operators: %s; say as which of them to sign: --by %s",
		strings.Join(names, ", "), names[0])
}

func (o Options) noneFits(seen []string) error {
	has := "has no key"
	if len(seen) > 0 {
		has = "has " + strings.Join(seen, ", ")
	}
	return fmt.Errorf("ssh-agent has no operator's key: wanted is %s; the agent %s; put the key in with: ssh-add "+
		"FILE, or name its file: --key FILE", o.names(), has)
}
