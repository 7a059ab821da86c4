package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/site/join"
)

func (a *app) agentJoinCommand() *cobra.Command {
	f := &hostFlags{}
	c := &cobra.Command{
		Use:   "join ADDRESS",
		Short: "Take this host into a site, by the token that skerry site invite has printed",
		Long: `Asks for the token, or reads it from standard input, and gets from ADDRESS what a host
of the site needs: the site's key, the public keys of operators and builders, the
authority, and a certificate for a key that is made here. Writes them into --dir. A
host that has such files already is left as it is.`,
		Example: `  skerry agent join 10.20.0.1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("skerry agent join takes the address that skerry site invite has printed, and no " +
					"token: it asks for that")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.agentJoin(cmd.Context(), f, args[0]) },
	}
	f.register(c)
	return c
}

// joinedHost is what agent join has done.
type joinedHost struct {
	Cluster string     `json:"cluster"`
	Host    string     `json:"host"`
	Files   []hostFile `json:"files"`
}

func (a *app) agentJoin(ctx context.Context, f *hostFlags, address string) error {
	if err := f.check(); err != nil {
		return err
	}
	host, err := f.hostName()
	if err != nil {
		return err
	}
	there := present(f.path(siteConfigName), f.path(agentName), f.path(operatorsName), f.path(buildersName),
		f.path(hostKeyName), f.path(hostCertName), f.path(authorityName), f.path(databaseName))
	if len(there) > 0 {
		return problemf("this host has files of a site already, and they stay: %s. To join another one take them "+
			"away, or name another directory: --dir DIR", strings.Join(there, ", "))
	}
	token, err := a.readSecret("The token: ")
	if err != nil {
		return err
	}
	done := joinedHost{Host: host}
	err = join.Join(ctx, address, token, host, func(m join.Membership, key []byte) error {
		if there := present(f.path(keyName(m.Cluster))); len(there) > 0 {
			return problemf("%s is there already, and stays", there[0])
		}
		done.Cluster = m.Cluster
		done.Files = f.membershipFiles(m, host)
		if m.Certificate != "" {
			done.Files = append(done.Files,
				hostFile{f.path(hostKeyName), false, "the private key of this host's certificate", 0o600, string(key)},
				hostFile{f.path(hostCertName), false, "the certificate of this host", 0o644, m.Certificate},
				hostFile{f.path(authorityName), false, "the authority of the site's certificates", 0o644, m.Authority})
		}
		return writeHostFiles(done.Files)
	})
	if errors.Is(err, join.ErrToken) {
		return problemf("%w", err)
	}
	if err != nil {
		return problemf("this host has not joined: %w", err)
	}
	if a.flags.json {
		return a.printJSON(done)
	}
	a.printHostFiles(done.Files)
	a.printf("\n%s is a host of %s. Next:\n  skerry agent run --file %s     # by the service manager\n", host,
		done.Cluster, f.path(agentName))
	return nil
}
